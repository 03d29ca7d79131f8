"""Two blocks, one of which may be left out, and what a rule draws in them."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from evospace.ops.spec import BlockShape
from evospace.space.search_space import SearchSpace
from evospace.training.snapshot import TrainState

NAMES = ("mbconv_k3_e1", "mbconv_k3_e3", "conv_k3_e1")
BLOCKS = (
    BlockShape(in_channels=8, out_channels=16, stride=2, resolution=8),
    BlockShape(in_channels=16, out_channels=16, stride=1, resolution=4),
)


def drawn(rule: Any, space: SearchSpace, *, step: int, draws: int) -> list[tuple[tuple[str, ...], ...]]:
    """The operations of each block in `draws` weight steps' architectures, in alphabetical order."""
    state, rng = cast("TrainState", SimpleNamespace(space=space)), np.random.default_rng(0)
    routes = (rule.route(state, rng, step) for _ in range(draws))
    return [tuple(tuple(sorted(op for term in terms for op in term.ops)) for terms in route) for route in routes]
