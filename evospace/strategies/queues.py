"""The candidate queues: what has not been traversed yet, and how the active space is refilled from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evospace.cost.budget import Budget, amount, limits_text
from evospace.cost.table import CostTable
from evospace.errors import BudgetError
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.limits import (
    Limits,
    costs_with_one_more,
    exceeded,
    excess,
    least_cost,
    whole,
    within_reach,
)
from evospace.sampling.reachable import is_reachable, nearest_reachable
from evospace.seeding import numpy_generator
from evospace.space.search_space import SearchSpace

Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Queues:
    """Per block: the operations inherited from the front, those newly active, and those still waiting."""

    inherited: tuple[Names, ...]
    fresh: tuple[Names, ...]
    waiting: tuple[Names, ...]

    def active(self) -> tuple[Names, ...]:
        """What the round searches, per block."""
        return tuple(old + new for old, new in zip(self.inherited, self.fresh, strict=True))


def first_active(order: Sequence[Names], count: int) -> Queues:
    """The first `count` operations of each block's order active, the rest waiting."""
    return Queues(
        inherited=((),) * len(order),
        fresh=tuple(names[:count] for names in order),
        waiting=tuple(names[count:] for names in order),
    )


def default_rounds(pool: int, k: int) -> int:
    """ceil((N - 1) / (K - 1)): enough rounds to traverse all even with one inherited operation per block."""
    return max(math.ceil((pool - 1) / (k - 1)), 1)


def shuffled(candidates: Sequence[Sequence[str]], seed: int, *after: int) -> tuple[Names, ...]:
    """Each block's candidates in random order; `after` is the number of rounds before a search was extended."""
    orders = (numpy_generator(seed, "queue", b, *after).permutation(len(names)) for b, names in enumerate(candidates))
    return tuple(tuple(names[i] for i in order) for names, order in zip(candidates, orders, strict=True))


def refill(
    inherited: Sequence[Names], waiting: Sequence[Names], *, k: int, rounds_left: int, how: Literal["full", "even"]
) -> Queues:
    """Activate ``ceil(|waiting| / rounds left)`` operations of each block's queue, or as many as `k` has room for.

    `how` is ``"even"`` for the former; ``"full"``, the paper's, takes ``K - |inherited|`` where those are more.
    `rounds_left` counts the round about to start; in the last round every queue is emptied.
    """
    room = k if how == "full" else 0
    counts = [
        max(room - len(kept), math.ceil(len(queue) / rounds_left))
        for kept, queue in zip(inherited, waiting, strict=True)
    ]
    return Queues(
        inherited=tuple(inherited),
        fresh=tuple(queue[:n] for queue, n in zip(waiting, counts, strict=True)),
        waiting=tuple(queue[n:] for queue, n in zip(waiting, counts, strict=True)),
    )


def inherit(front: Sequence[Evaluation], active: Sequence[Names]) -> tuple[Names, ...]:
    """Per block, the union of the operations used on the front, in the active space's order."""
    used = [set[str]().union(*names) for names in zip(*(e.architecture.blocks for e in front), strict=True)]
    return tuple(tuple(name for name in names if name in chosen) for names, chosen in zip(active, used, strict=True))


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One exchange made because the active space could not reach the budget."""

    block: int
    out: str
    into: str


def require_reachable(space: SearchSpace, table: CostTable, budget: Budget) -> None:
    """Raise `BudgetError`, naming the reachable range, where no architecture of `space` is inside the budget."""
    nearest = nearest_reachable(space, table, budget)
    if nearest not in budget:
        low, high, near = (amount(table.metric, cost) for cost in (*table.bounds(space), nearest))
        raise BudgetError(
            f"budget {budget} cannot be met: the space reaches {table.metric} {low} to {high}, nearest to the"
            f" budget is {near}; choose a budget that holds it (a ceiling asks for its upper tenth, a window LOW..HIGH"
            " for what it says), or another skeleton, pool or image size"
        )


def require_limits(space: SearchSpace, table: CostTable, budget: Budget, limits: Limits) -> None:
    """Raise `BudgetError` where no architecture of `space` in the budget keeps a limit, or several together."""
    for other, high in limits:
        low = least_cost(space, table, budget, other)
        if high < low < math.inf:
            least, most = amount(other.metric, int(low)), amount(other.metric, high)
            raise BudgetError(
                f"limit {other.metric} <= {most} cannot be kept: with {budget} the space begins at {least}; raise the"
                " limit, or take another budget, skeleton, pool or image size"
            )
    if not within_reach(space, table, budget, limits):
        raise BudgetError(
            f"{_Aim(space, table, budget, limits)}: no architecture keeps all of that; raise a limit, or take another"
            " budget, skeleton, pool or image size"
        )


def reach(
    queues: Queues, full: SearchSpace, table: CostTable, budget: Budget, limits: Limits = ()
) -> tuple[Queues, list[Swap]]:
    """Swap waiting operations in, nearest first, until the active space reaches the budget window, and its limits.

    The operation that leaves goes to the front of its queue. Raises `BudgetError` where no swap comes nearer.
    """
    swaps: list[Swap] = []
    gap = _gap(queues, full, table, budget)
    while gap > 0:
        options = [(_gap(q, full, table, budget), s, q) for s, q in _exchanges(queues)]
        best = min(options, key=lambda option: option[0], default=None)
        if best is None or best[0] >= gap:
            raise BudgetError(
                f"budget {budget}: no single exchange of an active for a waiting operation brings the active space"
                f" nearer than {amount(table.metric, gap)} {table.metric} to it; widen the window or raise --candidates"
            )
        gap, swap, queues = best
        swaps.append(swap)
    return _within_limits(queues, swaps, _Aim(full, table, budget, limits)) if limits else (queues, swaps)


@dataclass(frozen=True)
class _Aim:
    """A budget with further limits, of a part of a full space."""

    full: SearchSpace
    table: CostTable
    budget: Budget
    limits: Limits

    def excess(self, queues: Queues) -> float:
        """By what part the active space, inside the budget, exceeds the limits; ``inf`` where it does not reach it."""
        space = self.full.with_candidates(queues.active())
        over = excess(space, self.table, self.budget, self.limits)
        return over if is_reachable(space, self.table, self.budget) else math.inf

    def with_one_more(self, queues: Queues) -> list[tuple[float, int, str]]:
        """What is exceeded with one waiting operation more, its block and its name, the least first."""
        space = self.full.with_candidates(queues.active())
        costs = [
            costs_with_one_more(space, self.full, self.table, self.budget, other) for other, _ in whole(self.limits)
        ]
        waiting = [(b, name) for b, names in enumerate(queues.waiting) for name in names]
        return sorted((exceeded([found[pair] for found in costs], self.limits), *pair) for pair in waiting)

    def __str__(self) -> str:
        return f"budget {self.budget}, {limits_text({table.metric: high for table, high in self.limits})}"


def _within_limits(queues: Queues, swaps: list[Swap], aim: _Aim) -> tuple[Queues, list[Swap]]:
    """More swaps, until the active space, which reaches the budget, keeps its limits there."""
    over = aim.excess(queues)
    while over > 0:
        for expected, block, into in aim.with_one_more(queues):
            if expected >= over or not queues.fresh[block]:
                continue  # nothing is gained, or all that is active there is inherited
            exchanged = [(out, _exchange(queues, block, out, into)) for out in queues.fresh[block]]
            lower, out, after = min(((aim.excess(q), out, q) for out, q in exchanged), key=lambda option: option[0])
            if lower < over:
                break
        else:
            raise BudgetError(
                f"{aim}: no single exchange of an active for a waiting operation brings the active space nearer than"
                f" {100 * over:.2f} % above its limits; raise a limit or --candidates"
            )
        over, queues = lower, after
        swaps.append(Swap(block=block, out=out, into=into))
    return queues, swaps


def _gap(queues: Queues, full: SearchSpace, table: CostTable, budget: Budget) -> int:
    nearest = nearest_reachable(full.with_candidates(queues.active()), table, budget)
    return max(budget.low - nearest, nearest - budget.high, 0)


def _exchanges(queues: Queues) -> list[tuple[Swap, Queues]]:
    return [
        (Swap(block=b, out=out, into=into), _exchange(queues, b, out, into))
        for b, (fresh, waiting) in enumerate(zip(queues.fresh, queues.waiting, strict=True))
        for out in fresh
        for into in waiting
    ]


def _exchange(queues: Queues, block: int, out: str, into: str) -> Queues:
    fresh, waiting = list(queues.fresh), list(queues.waiting)
    fresh[block] = tuple(into if name == out else name for name in fresh[block])
    waiting[block] = (out, *(name for name in waiting[block] if name != into))
    return Queues(inherited=queues.inherited, fresh=tuple(fresh), waiting=tuple(waiting))
