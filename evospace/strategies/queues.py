"""The candidate queues: what has not been traversed yet, and how the active space is refilled from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evospace.cost.budget import Budget, amount, limits_text
from evospace.cost.table import CostTable
from evospace.errors import BudgetError
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.limits import Limits, least_cost
from evospace.sampling.reachable import nearest_reachable
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
            f" budget is {near}; choose a budget that holds it, or another skeleton, pool or image size"
        )


def require_limit(space: SearchSpace, table: CostTable, budget: Budget, other: CostTable, high: int) -> None:
    """Raise `BudgetError` where every architecture of `space` in the budget is above an upper limit."""
    low = least_cost(space, table, budget, other)
    if low > high:
        least, most = amount(other.metric, round(low)), amount(other.metric, high)
        raise BudgetError(
            f"limit {other.metric} <= {most} cannot be kept: with {budget} the space begins at {least}; raise the"
            " limit, or take another budget, skeleton, pool or image size"
        )


def reach(
    queues: Queues, full: SearchSpace, table: CostTable, budget: Budget, limits: Limits = ()
) -> tuple[Queues, list[Swap]]:
    """Swap waiting operations in, nearest first, until the active space reaches the budget window, and its limits.

    The operation that leaves goes to the front of its queue. Raises `BudgetError` where no swap comes nearer.
    """
    swaps: list[Swap] = []
    gap = _gap(queues, full, table, budget, limits)
    while gap > REACHED:
        options = [(_gap(q, full, table, budget, limits), s, q) for s, q in _exchanges(queues)]
        best = min(options, key=lambda option: option[0], default=None)
        if best is None or best[0] >= gap:
            raise BudgetError(
                f"{_aim(budget, limits)}: no single exchange of an active for a waiting operation brings the active"
                f" space nearer than {_lack(gap, table.metric)} to it; widen the window or raise --candidates"
            )
        gap, swap, queues = best
        swaps.append(swap)
    return queues, swaps


REACHED = (0, 0.0)
"""The gap of a space that reaches its budget and keeps its limits."""


def _gap(queues: Queues, full: SearchSpace, table: CostTable, budget: Budget, limits: Limits) -> tuple[int, float]:
    """Cost from the nearest reachable one to the window, and from inside it the parts by which limits are exceeded."""
    space = full.with_candidates(queues.active())
    nearest = nearest_reachable(space, table, budget)
    gap = max(budget.low - nearest, nearest - budget.high, 0)
    if gap:
        return gap, 0.0
    return 0, sum(max(least_cost(space, table, budget, other) / high - 1.0, 0.0) for other, high in limits)


def _aim(budget: Budget, limits: Limits) -> str:
    beside = limits_text({table.metric: high for table, high in limits})
    return f"budget {budget}" + (f", {beside}" if beside else "")


def _lack(gap: tuple[int, float], metric: str) -> str:
    return f"{amount(metric, gap[0])} {metric}" if gap[0] else f"{100 * gap[1]:.2f} % above its limits"


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
