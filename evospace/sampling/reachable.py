"""Which total costs a search space can reach: exact bitsets in big integers. No torch here."""

import math
from collections.abc import Sequence

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.space.search_space import Branches, SearchSpace

MAX_BITS = 200_000_000
"""Longest bitset; a wider range of costs is rounded to fewer, coarser steps."""


def cost_unit(space: SearchSpace, table: CostTable) -> int:
    """The greatest common divisor of the costs of all (block, operation) pairs; 1 where all are 0."""
    pairs = zip(space.candidates, table.ops, strict=True)
    return math.gcd(*(costs[name] for names, costs in pairs for name in names)) or 1


def reachable_costs(space: SearchSpace, table: CostTable, up_to: int | None = None) -> tuple[int, int]:
    """``(unit, bits)``: bit ``i`` says whether some architecture costs ``table.fixed + i * unit``.

    `unit` is the greatest common divisor of the costs and the answer exact, unless that takes more than
    `MAX_BITS` bits: then `unit` is a multiple of it, and each operation's cost is rounded to that. Costs above `up_to`,
    which is not below `table.fixed`, are left out: a pool of hundreds reaches far beyond any budget.
    """
    unit = cost_unit(space, table)
    high = table.bounds(space)[1]
    if up_to is not None:
        high = min(high, up_to)
    unit *= max(1, -(-((high - table.fixed) // unit) // MAX_BITS))
    last = (high - table.fixed) // unit if up_to is not None else None
    bits = 1
    for names, needed, costs in zip(space.candidates, space.required, table.ops, strict=True):
        shifts = [(costs[name] + unit // 2) // unit for name in names]
        bits = _through_block(bits, shifts, needed, space.branches, last)
    return unit, bits


def _through_block(before: int, shifts: Sequence[int], required: bool, branches: Branches, last: int | None) -> int:
    chosen = 0  # sums with an operation of this block; `before` are those without
    kept = -1 if last is None else (1 << last + 1) - 1
    for shift in shifts:
        if last is not None and shift > last:
            continue
        earlier = before | chosen if branches == "multi" else before
        chosen |= (earlier << shift) & kept
    return chosen if required else before | chosen


def neighbours(space: SearchSpace, table: CostTable, window: Budget) -> tuple[int | None, int | None]:
    """The dearest reachable cost below the window's start, and the cheapest one from its start on."""
    least, most = table.bounds(space)
    if least > window.high:
        return None, least
    if most < window.low:
        return most, None
    if window.high >= table.fixed:
        below, above = _neighbours(space, table, window.low, window.high)
        if above is not None:
            return below, above
    return _neighbours(space, table, window.low, None)


def _neighbours(space: SearchSpace, table: CostTable, low: int, up_to: int | None) -> tuple[int | None, int | None]:
    unit, bits = reachable_costs(space, table, up_to)
    first = max(0, -(-(low - table.fixed) // unit))
    beyond = bits >> first
    under = bits ^ (beyond << first)
    below = table.fixed + unit * (under.bit_length() - 1) if under else None
    above = table.fixed + unit * (first + (beyond & -beyond).bit_length() - 1) if beyond else None
    return below, above


def nearest_reachable(space: SearchSpace, table: CostTable, window: Budget) -> int:
    """The reachable cost nearest to the window: one inside it where there is one, the lower one in a tie."""
    below, above = neighbours(space, table, window)
    if above is None or (below is not None and window.low - below <= above - window.high):
        assert below is not None, "a space has at least one architecture"
        return below
    return above


def is_reachable(space: SearchSpace, table: CostTable, window: Budget) -> bool:
    """Whether some architecture of the space costs what the window allows."""
    return window.high >= table.fixed and _neighbours(space, table, window.low, window.high)[1] is not None
