"""Which networks are measured: around one operation, and whole ones of every size."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor, nn

from evospace.cost.budget import Budget
from evospace.cost.latency_table import LatencyTable
from evospace.ops.build import build_op
from evospace.ops.layers import conv_bn
from evospace.ops.spec import BlockShape, OpSpec
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import draw
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import mean_of

PLAIN = "mbconv_k3_e1"
"""What a reduction block holds besides the operation in question: it cannot be empty."""
DENSITY = (0.5, 2.0)
"""Operations per block of the networks, on average: the fronts of docs/results.md have 0.9 to 2.2."""
BAND = 0.1
"""Half of the unseen networks lie within 10 % of one latency."""


class AroundBlock(nn.Module):
    """A block between two 1x1 convolutions: an operation is measured where it will stand.

    On its own it would be charged for the start of the runtime and for changes of layout at both ends.
    """

    def __init__(self, shape: BlockShape, names: Sequence[str]) -> None:
        super().__init__()
        self.keeps_shape = shape.keeps_shape
        self.before = conv_bn(shape.in_channels, shape.in_channels, act=shape.activation)
        self.ops = nn.ModuleList(build_op(OpSpec.parse(name), shape) for name in names)
        self.after = conv_bn(shape.out_channels, shape.out_channels, act=shape.activation)

    def forward(self, images: Tensor) -> Tensor:
        """``N x C_in x H x W -> N x C_out x H' x W'``."""
        images = self.before(images)
        outputs = [op(images) for op in self.ops]
        merged: Tensor = self.after(mean_of([*outputs, images] if self.keeps_shape else outputs))
        return merged


def around_block(shape: BlockShape, name: str | None) -> AroundBlock:
    """The small network without (`None`) or with one more operation."""
    base = [] if shape.keeps_shape else [PLAIN]
    return AroundBlock(shape, [*base, *([name] if name else [])])


def cheapest(skeleton: Skeleton) -> Architecture:
    """`PLAIN` in every block that needs an operation."""
    return Architecture.of([] if shape.keeps_shape else [PLAIN] for shape in skeleton.blocks())


def spread_networks(space: SearchSpace, n: int, rng: np.random.Generator) -> list[Architecture]:
    """`n` distinct architectures of every density."""
    found: dict[Architecture, None] = {}
    for architecture in _of_every_density(space, rng):
        found[architecture] = None
        if len(found) == n:
            break
    return list(found)


def _of_every_density(space: SearchSpace, rng: np.random.Generator) -> Iterator[Architecture]:
    for _ in range(10_000):
        yield draw(space, _gates(space, rng.uniform(*DENSITY)), rng)


def _gates(space: SearchSpace, density: float) -> list[np.ndarray]:
    return [np.full(len(names), min(density / len(names), 0.5)) for names in space.candidates]


def band_networks(
    space: SearchSpace, table: LatencyTable, middle: int, n: int, rng: np.random.Generator
) -> list[Architecture]:
    """Up to `n` architectures whose predicted latency lies within `BAND` of `middle` nanoseconds, evenly over it."""
    costs, edges = table.cost_table(space), np.linspace((1 - BAND) * middle, (1 + BAND) * middle, n + 1)
    found: dict[Architecture, None] = {}
    for low, high in pairwise(edges):
        window = Budget(metric="latency", low=int(low) + 1, high=int(high))
        sampler = WindowSampler(space, costs, window, _gates(space, rng.uniform(*DENSITY)))
        if sampler.possible:
            found |= dict.fromkeys(sampler.draw(1, rng))
    return list(found)
