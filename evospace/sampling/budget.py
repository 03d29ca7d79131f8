"""Exact draws of architectures whose cost lies in a window, by dynamic programming. No torch here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from evospace.cost.budget import Budget, amount, limits_text
from evospace.cost.table import CostTable
from evospace.errors import BudgetError
from evospace.sampling.gates import Bools, Floats, to_architectures
from evospace.sampling.limits import Limits, costs_of, keeps, least_to_go, least_values, whole
from evospace.sampling.reachable import is_reachable, neighbours
from evospace.sampling.values import Decisions, Grid, boundary_values, counting, gated, item_values
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

_BATCHES = 100
"""Batches of n draws until n are distinct, and keep the further limits. Learned gates are peaked: with 10 batches half
of what a search asked for was not found in windows that held hundreds of times as much."""
_FILTERED = 1000
"""Batches in a row that a binned window may filter out whole before it counts as impossible."""
_LARGE = 1000
"""Draws in a batch after one that was filtered out whole: a wide bin may hold one draw in hundreds of what is asked."""
_HOPELESS = 10
"""Batches none of which kept the further limits, after which rejection is given up."""
_GUIDED = 10
"""So many times n draws after those are held to the limits from their first decision on."""
_Ints = npt.NDArray[np.int64]


class WindowSampler:
    """Draws from the gates' distribution, conditioned exactly on a cost inside the window.

    Backwards through the blocks it finds P(final cost in the window | cost so far), then draws forwards.
    Where the costs take more bins than `values.MAX_BINS`, it draws from a slightly wider, binned window and
    drops what lies outside the given one, which leaves the conditional distribution exact.
    """

    def __init__(
        self,
        space: SearchSpace,
        table: CostTable,
        window: Budget,
        probabilities: Sequence[np.ndarray],
        *,
        bins: int | None = None,
    ) -> None:
        """`probabilities`: per block ``[K]`` inclusion probabilities, in the order of the candidates.

        Bernoulli in a multi-branch space (a required block conditioned on not being empty); one-of-K in a
        single-branch one, where an optional block's remainder is the skip. Fewer `bins` than `values.MAX_BINS`
        make a draw cheaper in a wide window, where few draws are dropped; what is drawn stays exact.
        """
        assert window.metric == table.metric, "the window and the table measure the same"
        self.space, self.table, self.window = space, table, window
        self._blocks = [
            gated(p, needed, space.branches) for p, needed in zip(probabilities, space.required, strict=True)
        ]
        self.bins = bins
        self._grid = Grid.of(space, table, window, cover=True, bins=bins)
        self._values, self._log_weight = boundary_values(self._blocks, self._grid)
        self._costs = [np.array(costs, dtype=np.int64) for costs in costs_of(space, table)]

    @cached_property
    def log_mass(self) -> float:
        """Natural log of the window's probability, ``-inf`` for none; approximate where costs are binned."""
        if self._grid.exact or math.isinf(self._log_weight):
            return self._log_weight
        grid = Grid.of(self.space, self.table, self.window, cover=False, bins=self.bins)
        return boundary_values(self._blocks, grid)[1]

    @property
    def kept(self) -> float:
        """About what share of the draws from a binned window lie in the given one; 1 where nothing can be drawn."""
        return 1.0 if math.isinf(self._log_weight) else math.exp(min(self.log_mass - self._log_weight, 0.0))

    @cached_property
    def possible(self) -> bool:
        """Whether the gates can draw an architecture inside the window."""
        if math.isinf(self._log_weight):
            return False
        return self._grid.exact or is_reachable(self.space, self.table, self.window)

    def draw(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """`n` independent draws; raises `BudgetError` for an impossible window."""
        if math.isinf(self._log_weight):
            raise self.impossible()
        kept: list[Architecture] = []
        empty = 0
        while len(kept) < n:
            batch = self._batch(max(n, _LARGE) if empty else n, rng)
            kept += batch
            empty = 0 if batch else empty + 1
            if empty == _FILTERED:
                raise self.impossible()
        return kept[:n]

    def draw_distinct(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Up to `n` distinct architectures in the order drawn; fewer where 100 n draws held no more.

        Raises `BudgetError` for an impossible window.
        """
        return self.draw_within(n, rng, ())[0]

    def _batch(self, n: int, rng: np.random.Generator, limits: Limits = ()) -> list[Architecture]:
        """`n` draws from the binned window, less those outside the given one.

        Held to `limits`, no decision is drawn after which one of them cannot be kept any more: what keeps them is
        drawn by the gates, but no longer in proportion to its probability.
        """
        at = np.zeros(n, dtype=np.int64)
        total = np.full(n, self.table.fixed, dtype=np.int64)
        limits = whole(limits)
        to_go = [least_to_go(self.space, self._grid, table) for table, _ in limits]
        costs = [costs_of(self.space, table) for table, _ in limits]
        rooms = [np.full(n, high - table.fixed, dtype=np.int64) for table, high in limits]
        masks = []
        for b, block in enumerate(self._blocks):
            bins = self._grid.bins[b]
            held = [
                _Held(list(least_values(block.required, self.space.branches, bins, cost[b], end[b + 1]))[::-1], cost[b])
                for cost, end in zip(costs, to_go, strict=True)
            ]
            mask, at = _draw_block(block, bins, self._values[b + 1], at, rng, held, rooms)
            masks.append(mask)
            total += mask @ self._costs[b]
        inside = (total >= self.window.low) & (total <= self.window.high)
        for mask, needed in zip(masks, self.space.required, strict=True):
            inside &= mask.any(axis=1) if needed else True
        return to_architectures(self.space, [mask[inside] for mask in masks])

    def draw_within(self, n: int, rng: np.random.Generator, limits: Limits) -> tuple[list[Architecture], int]:
        """Up to `n` distinct architectures that keep upper limits on further costs too, and the draws rejected.

        Rejection on top of the exact draws, which ends after `_BATCHES` n of them, or `_HOPELESS` n that were all
        rejected; what is lacking then is drawn with every decision held to the limits. Raises `BudgetError` where that
        finds none either, or for an impossible window.
        """
        found: dict[Architecture, None] = {}
        tried = rejected = 0
        while len(found) < n and tried < (_BATCHES if found else _HOPELESS) * n:
            batch = self.draw(n, rng)
            kept = [a for a in batch if keeps(a, limits)]
            found |= dict.fromkeys(kept)
            tried, rejected = tried + n, rejected + n - len(kept)
        if limits and len(found) < n:
            tried += _GUIDED * n
            found |= dict.fromkeys(a for a in self._batch(_GUIDED * n, rng, limits) if keeps(a, limits))
        if not found and n:
            ceilings = limits_text({table.metric: high for table, high in limits})
            raise BudgetError(
                f"none of {tried} architectures drawn with {self.window} has {ceilings}; raise that limit or lower"
                " the budget"
            )
        return list(found)[:n], rejected

    def impossible(self) -> BudgetError:
        """The error that says what the window misses and where the space reaches."""
        metric = self.table.metric
        low, high = (amount(metric, cost) for cost in self.table.bounds(self.space))
        below, above = neighbours(self.space, self.table, self.window)
        if above is not None and above <= self.window.high:
            why = f"the gates give no probability to {self.window}, where the space reaches {amount(metric, above)}"
        else:
            near = " and ".join(amount(metric, cost) for cost in (below, above) if cost is not None)
            why = f"no architecture of the space has {self.window}; nearest reachable: {near}"
        return BudgetError(f"{why}; the space reaches from {low} to {high}, so move or widen the window")


@dataclass(frozen=True)
class _Held:
    """A limit within one block."""

    stages: list[tuple[Floats, Floats]]
    """The least to go before each of its decisions and after the last: `limits.least_values`."""
    costs: list[int]
    """``[K]``."""


def _draw_block(
    block: Decisions,
    bins: Sequence[int],
    end: np.ndarray,
    at: _Ints,
    rng: np.random.Generator,
    held: Sequence[_Held],
    rooms: Sequence[_Ints],
) -> tuple[Bools, _Ints]:
    """Masks ``[n, K]`` of one block for `n` draws at binned costs `at` ``[n]``, and the costs after it.

    `rooms`: ``[n]`` for each limit, what it leaves; less what is chosen, in place.
    """
    beyond = len(end) - 1
    stages = list(item_values(block, bins, end))[::-1]
    chosen = np.zeros((len(at), len(bins)), dtype=bool)
    started = np.zeros(len(at), dtype=np.int64)
    for i, (none, some) in enumerate(stages[1:]):
        then = np.minimum(at + bins[i], beyond)
        take = block.take[started, i] * some[then]
        leave = block.leave[started, i] * np.where(started == 1, some[at], none[at])
        for limit, room in zip(held, rooms, strict=True):
            least_none, least_some = limit.stages[i + 1]
            take = take * (limit.costs[i] + least_some[then] <= room)
            leave = leave * (np.where(started == 1, least_some[at], least_none[at]) <= room)
        picked = rng.random(len(at)) * (take + leave) < take
        chosen[:, i] = picked
        started |= picked
        at = at + bins[i] * picked
        for limit, room in zip(held, rooms, strict=True):
            room -= limit.costs[i] * picked
    return chosen, at


def log_count(space: SearchSpace, table: CostTable, window: Budget, *, bins: int | None = None) -> float:
    """Natural log of the number of architectures whose cost lies in the window, ``-inf`` for none.

    Approximate only where the costs take more than `bins` (`values.MAX_BINS`) bins.
    """
    sizes = zip(space.candidates, space.required, strict=True)
    blocks = [counting(len(names), needed, space.branches) for names, needed in sizes]
    return boundary_values(blocks, Grid.of(space, table, window, cover=False, bins=bins))[1]
