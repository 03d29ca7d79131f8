"""The pool `modern` as a whole: distinct, at every width, and as its grids say."""

import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from evospace.cost.network_cost import cost_tables, count_network
from evospace.errors import UsageError
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS
from evospace.ops.modern.grids import GRIDS
from evospace.ops.pools import MODERN
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network, initialise

KINDS_OF_MODERN = tuple(dict.fromkeys(spec.kind for spec in MODERN))
AWKWARD = ((24, 40, 1, 5), (40, 40, 1, 1), (96, 192, 2, 3), (192, 192, 2, 1), (320, 112, 1, 2), (80, 80, 2, 14))
SHAPE = BlockShape(in_channels=16, out_channels=16, stride=1, resolution=8)


def test_every_kind_offers_what_its_grid_says() -> None:
    for kind, grid in GRIDS.items():
        assert KINDS[kind].specs == grid.specs(kind)
        assert KINDS[kind].se == grid.se
    assert set(KINDS_OF_MODERN) == {"mbconv", *GRIDS}


def test_no_two_operations_are_the_same_network() -> None:
    shape = BlockShape(in_channels=64, out_channels=128, stride=2, resolution=8)
    with torch.device("meta"):
        described = Counter(repr(build_op(spec, shape)) for spec in MODERN)
    assert described.most_common(1)[0][1] == 1


@pytest.mark.parametrize("kind", KINDS_OF_MODERN)
def test_all_widths_and_resolutions_of_the_skeletons_fit(kind: str) -> None:
    for spec in (spec for spec in MODERN if spec.kind == kind):
        for inputs, outputs, stride, size in AWKWARD:
            shape = BlockShape(in_channels=inputs, out_channels=outputs, stride=stride, resolution=size)
            with torch.device("meta"), torch.no_grad():
                images = torch.empty(2, inputs, size, size)
                assert build_op(spec, shape)(images).shape[1:] == (outputs, *[shape.out_resolution] * 2), spec.name


UNSET = {"kernel": (None,), "expansion": (None,), "dilation": (1,)}
LACKING = [
    (kind, name) for kind, grid in GRIDS.items() for name, unset in UNSET.items() if getattr(grid, name) == unset
]


@pytest.mark.parametrize(("kind", "setting"), [*LACKING, *((kind, "groups") for kind in GRIDS)])
def test_a_setting_that_a_kind_lacks_is_refused(kind: str, setting: str) -> None:
    value: Any = (2, 2) if setting == "groups" else 3
    spec = replace(KINDS[kind].specs[0], **{setting: value})
    with pytest.raises(UsageError, match=f"{kind} has no {setting}"):
        build_op(spec, SHAPE)


@pytest.mark.parametrize("kind", GRIDS)
def test_a_setting_that_a_kind_needs_is_missed(kind: str) -> None:
    with pytest.raises(UsageError, match="missing"):
        build_op(OpSpec(kind=kind), SHAPE)


def random_architecture(draw: random.Random, blocks: int, most: int) -> Architecture:
    names = [spec.name for spec in MODERN]
    return Architecture.of(draw.sample(names, draw.randint(1, most)) for _ in range(blocks))


@pytest.mark.parametrize(
    ("size", "name"), [(8, "small8"), (33, "small32"), (64, "small64"), (97, "mobile"), (128, "latency")]
)
def test_the_additive_table_equals_the_whole_network_in_every_skeleton(size: int, name: str) -> None:
    skeleton = make_skeleton(name, image_size=size, image_channels=3)
    shapes = skeleton.blocks()
    architecture = random_architecture(random.Random(size), len(shapes), 4)
    space = SearchSpace(architecture.blocks, tuple(not shape.keeps_shape for shape in shapes))
    tables = cost_tables(skeleton, space, 10)
    counted = count_network(skeleton, architecture, 10)
    assert {metric: table.cost(architecture) for metric, table in tables.items()} == counted


@pytest.mark.parametrize("seed", range(3))
def test_freshly_initialised_networks_move_every_parameter(seed: int) -> None:
    skeleton = make_skeleton("small8", image_size=9, image_channels=3)
    architecture = random_architecture(random.Random(seed), len(skeleton.blocks()), 6)
    network = Network(skeleton, architecture, 10).train()
    initialise(network, torch.Generator().manual_seed(seed))
    logits = network(torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(seed)))
    torch.autograd.backward(logits.square().sum())
    assert bool(logits.isfinite().all())
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not bool(gradient.any())]


def test_listing_a_pool_needs_no_torch() -> None:
    script = (
        "import sys; from evospace.ops.pools import pool_with; pool_with('modern'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
