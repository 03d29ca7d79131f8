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


def reachable_costs(space: SearchSpace, table: CostTable) -> tuple[int, int]:
    """``(unit, bits)``: bit ``i`` says whether some architecture costs ``table.fixed + i * unit``.

    `unit` is the greatest common divisor of the costs and the answer exact, unless that takes more than
    `MAX_BITS` bits: then `unit` is a multiple of it, and each operation's cost is rounded to that.
    """
    unit = cost_unit(space, table)
    span = (table.bounds(space)[1] - table.fixed) // unit
    unit *= max(1, -(-span // MAX_BITS))
    bits = 1
    for names, needed, costs in zip(space.candidates, space.required, table.ops, strict=True):
        shifts = [(costs[name] + unit // 2) // unit for name in names]
        bits = _through_block(bits, shifts, needed, space.branches)
    return unit, bits


def _through_block(before: int, shifts: Sequence[int], required: bool, branches: Branches) -> int:
    chosen = 0  # sums with an operation of this block; `before` are those without
    for shift in shifts:
        earlier = before | chosen if branches == "multi" else before
        chosen |= earlier << shift
    return chosen if required else before | chosen


def neighbours(space: SearchSpace, table: CostTable, window: Budget) -> tuple[int | None, int | None]:
    """The dearest reachable cost below the window's start, and the cheapest one from its start on."""
    unit, bits = reachable_costs(space, table)
    first = max(0, -(-(window.low - table.fixed) // unit))
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
    above = neighbours(space, table, window)[1]
    return above is not None and above <= window.high
