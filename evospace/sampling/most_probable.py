"""The architecture that gates hold most probable among those inside a cost window. No torch here."""

import heapq
import math
from collections.abc import Sequence

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import Floats
from evospace.sampling.reachable import cost_unit
from evospace.sampling.values import Grid
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

_LOOKS = 20_000
"""Prefixes looked at: about a second. Where costs are exact, as many as there are blocks are enough."""
_DRAWS = 1_000
"""The best of so many draws is taken where a window is too narrow for its bins."""


def most_probable(
    space: SearchSpace, table: CostTable, window: Budget, probabilities: Sequence[np.ndarray]
) -> Architecture:
    """The architecture of a single-branch space with the greatest product of probabilities and a cost in `window`.

    `probabilities`: per block ``[K]``, one-of-K; in a block that is not required the remainder is the skip's. Of equal
    products one is taken by a fixed rule. Raises `BudgetError` where nothing with a probability above 0 fits.

    Dynamic programming over the costs gives, before each block and for each cost so far, the best product still to
    come; the architectures that it allows are then gone through from the most probable down, until one costs what
    `window` allows. Where costs are exact (`values.most_bins`) the first one does, and the answer is exact. Binned
    costs let some through that lie just outside. The answer is still exact, unless `_LOOKS` prefixes of those are more
    probable: then it is the best inside the window less what binning may shift at both ends (per block a bin, about 0.1
    per mille of the cost in all with up to 30 operations in a block, more with more), and in a window no wider than
    that the best of `_DRAWS` draws. What is returned lies inside `window` by its exact cost in every case.
    """
    assert space.branches == "single", "one operation per block"
    chances = log_chances(space, probabilities)
    bin_at_most = (window.high - table.fixed) // values.most_bins(space) + cost_unit(space, table) + 1
    margin = len(space.candidates) * bin_at_most
    inner = Budget(metric=window.metric, low=window.low + margin, high=window.high - margin)
    for aim in (window, inner):
        found = _first_inside(space, table, window, aim, chances) if aim.low <= aim.high else None
        if found is not None:
            return found
    sampler = WindowSampler(space, table, window, probabilities)
    if not sampler.possible:
        raise sampler.impossible()
    drawn = sampler.draw(_DRAWS, np.random.default_rng(0))
    return max(drawn, key=lambda a: (log_chance(a, space, chances), a))


def log_chances(space: SearchSpace, probabilities: Sequence[np.ndarray]) -> list[Floats]:
    """Per block the logarithms ``[K]`` of one-of-K probabilities; ``[K + 1]`` with the skip's where there is one."""
    return [_with_skip(p, needed) for p, needed in zip(probabilities, space.required, strict=True)]


def _with_skip(p: np.ndarray, required: bool) -> Floats:
    skip = [] if required else [max(0.0, 1.0 - float(np.sum(p)))]
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.append(p, skip).astype(np.float64))
    return logs


def log_chance(architecture: Architecture, space: SearchSpace, chances: Sequence[Floats]) -> float:
    """Logarithm of the product that `most_probable` maximises; `chances`: those of `log_chances`."""
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
    bins = [np.array([*block, 0][: len(logs)]) for block, logs in zip(grid.bins, chances, strict=True)]
    to_come = _to_come(grid, bins, chances)
    if to_come[0][0] == -np.inf:
        return None
    costs = [
        [*(ops[name] for name in names), 0][: len(logs)]
        for names, ops, logs in zip(space.candidates, table.ops, chances, strict=True)
    ]
    waiting: list[tuple[float, int, tuple[int, ...], int, int]] = [(0.0, 0, (), 0, table.fixed)]
    for _ in range(_LOOKS):
        if not waiting:
            break
        regret, _, chosen, at, cost = heapq.heappop(waiting)
        b = len(chosen)
        if b < len(chances):
            then = np.minimum(at + bins[b], grid.last + 1)
            losses = to_come[b][at] - (chances[b] + to_come[b + 1][then])
            for i, (loss, bin, more) in enumerate(zip(losses.tolist(), then.tolist(), costs[b], strict=True)):
                if loss < math.inf:
                    heapq.heappush(waiting, (regret + loss, -b - 1, (*chosen, i), bin, cost + more))
        elif window.low <= cost <= window.high:
            return Architecture.of(names[i : i + 1] for names, i in zip(space.candidates, chosen, strict=True))
    return None


def _to_come(grid: Grid, bins: Sequence[np.ndarray], chances: Sequence[Floats]) -> list[Floats]:
    """Log of the best product ``[last + 2]`` from before each block, and after the last, to the end of the window."""
    with np.errstate(divide="ignore"):
        best_after = [np.log(grid.start())]
    for steps, logs in zip(reversed(bins), reversed(chances), strict=True):
        after = best_after[-1]
        best = np.full_like(after, -np.inf)
        for step, chance in zip(steps.tolist(), logs.tolist(), strict=True):
            end = len(after) - step
            if end > 0:
                np.maximum(best[:end], chance + after[step:], out=best[:end])
        best_after.append(best)
    return best_after[::-1]
