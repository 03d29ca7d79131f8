"""The dynamic programme behind the budget sampler: value functions over the cost so far. No torch here.

Every block is a sequence of yes/no decisions, one per operation, with a flag: has the block chosen anything
yet? That covers subsets and one-of-K alike, and its work grows with the number of operations, not of subsets.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.gates import Floats
from evospace.sampling.reachable import cost_unit
from evospace.space.search_space import Branches, SearchSpace

MAX_BINS = 400_000
"""Most cost bins of a value function; a longer range of costs is binned and its draws are filtered."""
MAX_VALUES = 12_000_000
"""Most values, bins times operations, that a block's draw holds: 100 MB. From 30 operations on there are fewer bins."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """One block as yes/no decisions; row 0 of the weights while nothing is chosen, row 1 afterwards."""

    take: Floats
    """``[2, K]`` weight of including each operation."""
    leave: Floats
    """``[2, K]`` weight of passing it over."""
    required: bool
    log_nonempty: float = 0.0
    """Log of the weight that the block's condition (choose something) leaves, by which it is normalised."""


def counting(size: int, required: bool, branches: Branches) -> Decisions:
    """Weights under which a value function counts architectures."""
    take = np.ones((2, size))
    take[1] = branches == "multi"
    return Decisions(take=take, leave=np.ones((2, size)), required=required)


def gated(p: np.ndarray, required: bool, branches: Branches) -> Decisions:
    """Weights under which a value function is a probability; `p`: ``[K]`` inclusion probabilities."""
    p = np.asarray(p, dtype=np.float64)
    assert bool(np.all((p >= 0.0) & (p <= 1.0))), "inclusion probabilities lie in [0, 1]"
    if branches == "single":
        hazard = _hazard(p, required)
        return Decisions(
            take=np.stack([hazard, np.zeros_like(p)]),
            leave=np.stack([1.0 - hazard, np.ones_like(p)]),
            required=required,
        )
    with np.errstate(divide="ignore"):
        log_nonempty = float(np.log(-np.expm1(np.log1p(-p).sum()))) if required else 0.0
    both = np.stack([p, p])
    return Decisions(take=both, leave=1.0 - both, required=required, log_nonempty=log_nonempty)


def _hazard(q: Floats, required: bool) -> Floats:
    """Chance of each operation given that none before it was chosen."""
    skip = 0.0 if required else max(0.0, 1.0 - float(q.sum()))
    left = np.cumsum(q[::-1])[::-1] + skip
    return np.minimum(np.divide(q, left, out=np.zeros_like(q), where=left > 0.0), 1.0)


def most_bins(space: SearchSpace) -> int:
    """Of a value function over `space`."""
    return min(MAX_BINS, MAX_VALUES // max(1, *map(len, space.candidates)))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Costs above the fixed part in bins, and the window ``first .. last`` of bins."""

    bins: tuple[list[int], ...]
    """Per block ``K`` costs in bins."""
    first: int
    last: int
    exact: bool
    """Whether bins are whole cost units, so that a bin is a cost."""

    @classmethod
    def of(
        cls, space: SearchSpace, table: CostTable, window: Budget, *, cover: bool, bins: int | None = None
    ) -> "Grid":
        """The finest grid within `bins` (`MAX_BINS`); `cover` widens a binned window by what rounding may shift."""
        unit = cost_unit(space, table)
        low = max(0, -(-(window.low - table.fixed) // unit))
        high = (min(window.high, table.bounds(space)[1]) - table.fixed) // unit
        most = bins or most_bins(space)
        width = max(1, -(-high // most))
        costs = [[c[name] // unit for name in names] for names, c in zip(space.candidates, table.ops, strict=True)]
        binned = tuple([(c + width // 2) // width for c in block] for block in costs)
        if cover:
            under, over = _rounding(costs, binned, width, space.branches)
            low, high = low - over, high - under
        return cls(bins=binned, first=max(0, -(-low // width)), last=max(-1, high // width), exact=width == 1)

    def start(self) -> Floats:
        """``[last + 2]`` value after the last block: 1 inside the window; the last entry is for beyond."""
        values = np.zeros(self.last + 2)
        values[self.first : self.last + 1] = 1.0
        return values


def _rounding(costs: Sequence[list[int]], bins: Sequence[list[int]], width: int, branches: Branches) -> tuple[int, int]:
    """Least and greatest difference of a cost and its binned value over all architectures, in units."""
    merge_low, merge_high = (sum, sum) if branches == "multi" else (min, max)
    under = over = 0
    for block, binned in zip(costs, bins, strict=True):
        errors = [c - width * b for c, b in zip(block, binned, strict=True)]
        under += merge_low([0, *(e for e in errors if e < 0)])
        over += merge_high([0, *(e for e in errors if e > 0)])
    return under, over


def item_values(block: Decisions, bins: Sequence[int], end: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Value functions of one block from its end back to its start: ``K + 1`` pairs of ``[last + 2]``.

    A pair holds the value while nothing is chosen, and once something is. `end`: the value after the block.
    """
    independent = not block.required and bool(np.array_equal(block.take[0], block.take[1]))
    none, some = np.zeros_like(end) if block.required else end, end
    yield none, some
    for i in reversed(range(len(bins))):
        weights = block.take[:, i].tolist(), block.leave[:, i].tolist()
        after = some
        if weights[0][1] or weights[1][1] != 1.0:
            some = _decide(after, after, weights[0][1], weights[1][1], bins[i])
        none = some if independent else _decide(none, after, weights[0][0], weights[1][0], bins[i])
        yield none, some


def _decide(passed: Floats, taken: Floats, take: float, leave: float, cost: int) -> Floats:
    values = leave * passed
    if cost < len(values):
        values[: len(values) - cost] += take * taken[cost:]
    return values


def boundary_values(blocks: Sequence[Decisions], grid: Grid) -> tuple[list[Floats], float]:
    """Value functions ``[last + 2]`` before each block and after the last, and the log weight of the window.

    Each is scaled to a maximum of 1 over the costs that the blocks before it can reach; the logarithms of
    the scales add up, so nothing underflows.
    """
    values, log_weight = [grid.start()], 0.0
    reach = _reach(blocks, grid)
    for b in reversed(range(len(blocks))):
        (start, _), *_ = deque(item_values(blocks[b], grid.bins[b], values[-1]), maxlen=1)
        start = start.copy()
        start[reach[b] + 1 :] = 0.0
        scale = float(start.max(initial=0.0))
        if scale == 0.0 or math.isinf(blocks[b].log_nonempty):
            return [], -math.inf
        values.append(start / scale)
        log_weight += math.log(scale) - blocks[b].log_nonempty
    at_zero = float(values[-1][0]) if grid.last >= 0 else 0.0
    return values[::-1], log_weight + math.log(at_zero) if at_zero > 0.0 else -math.inf


def _reach(blocks: Sequence[Decisions], grid: Grid) -> list[int]:
    """The greatest binned cost before each block."""
    greatest = [
        sum(bins) if block.take[1].any() else max(bins, default=0)
        for block, bins in zip(blocks, grid.bins, strict=True)
    ]
    return [sum(greatest[:b]) for b in range(len(blocks))]
