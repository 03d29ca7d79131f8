"""Upper limits on further costs, and the least of such a cost that a window leaves. No torch here."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
SHARES = 10**6
"""Parts of a limit in which the costs of several are added up: fine beside what a single operation costs."""
BINS = 20_000
"""Cost bins in which `least_cost` looks: it is asked for hundreds of spaces in a row."""


def keeps(architecture: Architecture, limits: Limits) -> bool:
    """Whether an architecture keeps all upper limits."""
    return all(table.cost(architecture) <= high for table, high in limits)


def within_reach(space: SearchSpace, table: CostTable, window: Budget, limits: Limits) -> bool:
    """Whether the window, and each limit beside it, can be kept.

    A no is certain. A yes is for one limit where bins are whole cost units; of several each is looked at by itself,
    and their sum.
    """
    return is_reachable(space, table, window) and excess(space, table, window, limits) == 0.0


def excess(space: SearchSpace, table: CostTable, window: Budget, limits: Limits) -> float:
    """By what part the least of the limited costs exceed their limits, added up; 0 where each can be kept."""
    return exceeded([least_cost(space, table, window, other) for other, _ in whole(limits)], limits)


def exceeded(costs: Sequence[float], limits: Limits) -> float:
    """By what part the costs, those of `whole(limits)`, exceed their limits, added up."""
    return sum(max(cost - high, 0.0) / high for cost, (_, high) in zip(costs, whole(limits), strict=True))


def whole(limits: Limits) -> Limits:
    """The limits, and where there are several what they imply together.

    That is one on the sum of each cost's share of its own limit, in parts of `SHARES`, rounded down.
    """
    if len(limits) < 2:
        return limits
    names = [[*costs] for costs in limits[0][0].ops]
    ops = tuple(
        {name: sum(SHARES * table.ops[b][name] // high for table, high in limits) for name in block}
        for b, block in enumerate(names)
    )
    fixed = sum(SHARES * table.fixed // high for table, high in limits)
    return [*limits, (CostTable(metric="shares of the limits", fixed=fixed, ops=ops), len(limits) * SHARES)]


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
        same = some is none and branches == "multi"
        none = np.minimum(none, taken)
        some = none if same else np.minimum(some, taken) if branches == "multi" else some
        yield none, some


def costs_with_one_more(
    space: SearchSpace, full: SearchSpace, table: CostTable, window: Budget, other: CostTable
) -> dict[tuple[int, str], float]:
    """What `least_cost` of `space` would be with one more operation of `full` in a block, for each that it lacks.

    One pass from each end of the blocks, and one block for each operation.
    """
    grid = Grid.of(full, table, window, cover=True, bins=BINS)
    of_full = zip(full.candidates, grid.bins, costs_of(full, other), strict=True)
    steps = [dict(zip(names, zip(bins, costs, strict=True), strict=True)) for names, bins, costs in of_full]
    bins_of = zip(steps, space.candidates, strict=True)
    own = replace(grid, bins=tuple([step[name][0] for name in names] for step, names in bins_of))
    to_go = least_to_go(space, own, other)
    so_far = np.full(grid.last + 2, math.inf)
    so_far[0] = 0.0
    found = {}
    for b, (names, needed) in enumerate(zip(space.candidates, space.required, strict=True)):
        for name in full.candidates[b]:
            if name in names:
                continue
            pairs = [steps[b][n] for n in (*names, name)]
            bins, costs = [step for step, _ in pairs], [cost for _, cost in pairs]
            (start, _), *_ = deque(least_values(needed, space.branches, bins, costs, to_go[b + 1]), maxlen=1)
            found[b, name] = other.fixed + float((so_far + start).min())
        so_far = _after_block(so_far, [steps[b][n] for n in names], needed, space.branches)
    return found


def _after_block(before: Floats, steps: Sequence[tuple[int, int]], required: bool, branches: Branches) -> Floats:
    """The least cost so far ``[last + 2]``, by cost bin, once a block of operations of (bins, cost) is chosen from."""
    some = np.full_like(before, math.inf)
    for step, cost in steps:
        earlier = np.minimum(before, some) if branches == "multi" else before
        taken = np.full_like(before, math.inf)
        taken[step:] = earlier[: max(len(before) - step, 0)] + cost
        some = np.minimum(some, taken)
    return some if required else np.minimum(before, some)
