"""Upper limits on further costs, and the least of such a cost that a window leaves. No torch here."""

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.gates import Floats
from evospace.sampling.reachable import is_reachable
from evospace.sampling.values import Grid
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace

Limits = Sequence[tuple[CostTable, int]]
"""Upper limits on further costs."""
BINS = 20_000
"""Cost bins in which `least_cost` looks: it is asked for hundreds of spaces in a row."""


def keeps(architecture: Architecture, limits: Limits) -> bool:
    """Whether an architecture keeps all upper limits."""
    return all(table.cost(architecture) <= high for table, high in limits)


def within_reach(space: SearchSpace, table: CostTable, window: Budget, limits: Limits) -> bool:
    """Whether the window, and each limit beside it, can be kept.

    A no is certain. A yes is for one limit where bins are whole cost units; of several each is looked at by itself.
    """
    return is_reachable(space, table, window) and all(
        least_cost(space, table, window, other) <= high for other, high in limits
    )


def least_cost(space: SearchSpace, table: CostTable, window: Budget, other: CostTable) -> float:
    """The least `other` cost of the architectures in the window, ``inf`` where it has none.

    Where the window's costs take more than `BINS` bins it may be that of one just outside, so never too large.
    """
    grid = Grid.of(space, table, window, cover=True, bins=BINS)
    return other.fixed + float(least_to_go(space, grid, other)[0][0])


def least_to_go(space: SearchSpace, grid: Grid, other: CostTable) -> list[Floats]:
    """Before each block and after the last: the least `other` cost still to come for each cost so far.

    ``[last + 2]`` each, by cost bin; ``inf`` where the window is out of reach from there.
    """
    end = np.full(grid.last + 2, math.inf)
    end[grid.first : grid.last + 1] = 0.0
    values = [end]
    blocks = zip(space.required, grid.bins, costs_of(space, other), strict=True)
    for required, bins, costs in reversed(list(blocks)):
        (start, _), *_ = deque(least_values(required, space.branches, bins, costs, values[-1]), maxlen=1)
        values.append(start)
    return values[::-1]


def costs_of(space: SearchSpace, table: CostTable) -> list[list[int]]:
    """Per block the costs ``[K]`` of its candidates, in their order."""
    return [[costs[name] for name in names] for names, costs in zip(space.candidates, table.ops, strict=True)]


def least_values(
    required: bool, branches: Branches, bins: Sequence[int], costs: Sequence[int], end: Floats
) -> Iterator[tuple[Floats, Floats]]:
    """The least cost to go within one block, from its end back to its start: ``K + 1`` pairs of ``[last + 2]``.

    A pair holds it while nothing is chosen, and once something is, as `values.item_values` has its values. `bins` are
    the window's costs, `costs` those that are to be least, `end` what is to go after the block.
    """
    none, some = np.full_like(end, math.inf) if required else end, end
    yield none, some
    for step, cost in zip(reversed(bins), reversed(costs), strict=True):
        taken = np.full_like(end, math.inf)
        taken[: max(len(end) - step, 0)] = some[step:] + cost
        none = np.minimum(none, taken)
        some = np.minimum(some, taken) if branches == "multi" else some
        yield none, some
