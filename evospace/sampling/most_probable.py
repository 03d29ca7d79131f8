"""The architecture that gates hold most probable among those inside a cost window. No torch here."""

import heapq
from collections.abc import Sequence

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import Floats
from evospace.sampling.values import Grid
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

_LOOKS = 20_000
"""Prefixes looked at for one window, under a second; without binning as many as there are blocks are enough."""
_DRAWS = 1_000
"""Of so many draws the best is taken where nothing else is left."""


def most_probable(
    space: SearchSpace, table: CostTable, window: Budget, probabilities: Sequence[np.ndarray]
) -> Architecture:
    """The architecture of a single-branch space with the greatest product of probabilities and a cost in `window`.

    `probabilities`: per block ``[K]``, one-of-K; in a block that is not required the remainder is the skip's. Of equal
    products one is taken by a fixed rule. Raises `BudgetError` where nothing with a probability above 0 fits.

    Dynamic programming over the costs gives, before each block and for each cost so far, the best product still to
    come; the architectures that it allows are then gone through from the most probable down, until one costs what
    `window` allows. The answer is exact where costs are exact (`values.MAX_BINS`): the first one fits. Binned costs
    let some through that lie just outside: the answer is still exact, unless `_LOOKS` prefixes of those are more
    probable. Then it is the best of a narrower window that binning no longer misses, and in a window as narrow
    as a bin the best of `_DRAWS` draws. What is returned lies inside `window` by its exact cost in every case.
    """
    assert space.branches == "single", "one operation per block"
    chances = [_with_skip(p, needed) for p, needed in zip(probabilities, space.required, strict=True)]
    found = _first_inside(space, table, window, window, chances)
    if found is not None:
        return found
    sampler = WindowSampler(space, table, window, probabilities)
    if not sampler.possible:
        raise sampler.impossible()
    inner = _narrowed(window)
    while found is None and inner.low < inner.high:
        found, inner = _first_inside(space, table, window, inner, chances), _narrowed(inner)
    if found is not None:
        return found
    drawn = sampler.draw(_DRAWS, np.random.default_rng(0))
    return max(drawn, key=lambda a: (_log_chance(a, space, chances), a))


def _with_skip(p: np.ndarray, required: bool) -> Floats:
    """Log chances ``[K]`` of a block's operations, and ``[K + 1]`` with the skip's where there is one."""
    skip = [] if required else [max(0.0, 1.0 - float(np.sum(p)))]
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.append(p, skip).astype(np.float64))
    return logs


def _narrowed(window: Budget) -> Budget:
    """The middle half of a window."""
    quarter = (window.high - window.low) // 4 + 1
    return Budget(metric=window.metric, low=window.low + quarter, high=window.high - quarter)


def _log_chance(architecture: Architecture, space: SearchSpace, chances: Sequence[Floats]) -> float:
    pairs = zip(architecture.blocks, space.candidates, chances, strict=True)
    return sum(float(logs[names.index(chosen[0]) if chosen else len(names)]) for chosen, names, logs in pairs)


def _first_inside(
    space: SearchSpace, table: CostTable, window: Budget, aim: Budget, chances: Sequence[Floats]
) -> Architecture | None:
    """The most probable architecture of the binned window `aim` that lies inside `window`; `None` for none found.

    A prefix's regret is what its choices lose of the best product's logarithm: 0 along the best architecture. By
    rising regret (of equal ones the longest, then the one of earlier candidates) the first that fits is the best.
    """
    grid = Grid.of(space, table, aim, cover=True)
    bins = [[*b, 0][: len(logs)] for b, logs in zip(grid.bins, chances, strict=True)]
    costs = [
        [*(ops[name] for name in names), 0][: len(logs)]
        for names, ops, logs in zip(space.candidates, table.ops, chances, strict=True)
    ]
    to_come = _to_come(grid, bins, chances)
    if to_come[0][0] == -np.inf:
        return None
    waiting: list[tuple[float, int, tuple[int, ...], int, int]] = [(0.0, 0, (), 0, table.fixed)]
    for _ in range(_LOOKS):
        if not waiting:
            return None
        regret, _, chosen, at, cost = heapq.heappop(waiting)
        b = len(chosen)
        if b == len(chances):
            if window.low <= cost <= window.high:
                return Architecture.of(names[i : i + 1] for names, i in zip(space.candidates, chosen, strict=True))
            continue
        best, after = to_come[b][at], to_come[b + 1]
        for i, (chance, step, more) in enumerate(zip(chances[b].tolist(), bins[b], costs[b], strict=True)):
            value = chance + after[min(at + step, len(after) - 1)]
            if value > -np.inf:
                heapq.heappush(waiting, (regret + float(best - value), -b - 1, (*chosen, i), at + step, cost + more))
    return None


def _to_come(grid: Grid, bins: Sequence[Sequence[int]], chances: Sequence[Floats]) -> list[Floats]:
    """Log of the best product ``[last + 2]`` from before each block, and after the last, to the end of the window."""
    with np.errstate(divide="ignore"):
        values = [np.log(grid.start())]
    for steps, logs in zip(reversed(bins), reversed(chances), strict=True):
        after = values[-1]
        best = np.full_like(after, -np.inf)
        for step, chance in zip(steps, logs.tolist(), strict=True):
            end = len(after) - step
            if end > 0:
                np.maximum(best[:end], chance + after[step:], out=best[:end])
        values.append(best)
    return values[::-1]
