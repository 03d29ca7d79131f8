import pytest
from hypothesis import given

from evospace.cost.budget import Budget
from evospace.sampling import reachable
from evospace.sampling.reachable import is_reachable, nearest_reachable, reachable_costs
from tests.sampling.spaces import Case, cases, enumerate_space, make_case, windows


def all_costs(case: Case) -> set[int]:
    space, table, gates = case
    return {table.cost(a) for a in enumerate_space(space, gates)}


@given(cases())
def test_bits_are_the_costs(case: Case) -> None:
    space, table, _ = case
    unit, bits = reachable_costs(space, table)
    found = {table.fixed + i * unit for i in range(bits.bit_length()) if bits >> i & 1}
    assert found == all_costs(case)
    assert (min(found), max(found)) == table.bounds(space)


@given(cases(), windows())
def test_nearest_and_is_reachable(case: Case, window: Budget) -> None:
    space, table, _ = case

    def distance(cost: int) -> int:
        return max(window.low - cost, cost - window.high, 0)

    nearest = nearest_reachable(space, table, window)
    costs = all_costs(case)
    assert nearest in costs
    assert distance(nearest) == min(map(distance, costs))
    assert is_reachable(space, table, window) == any(cost in window for cost in costs)


def test_long_ranges_are_coarsened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachable, "MAX_BITS", 100)
    space, table, _ = make_case([[1001, 340], [520, 77]], [True, False], "multi", seed=0)
    unit, bits = reachable_costs(space, table)
    assert bits.bit_length() <= 103
    assert abs(table.fixed + unit * (bits.bit_length() - 1) - table.bounds(space)[1]) <= 2 * unit


@given(cases(), windows())
def test_costs_up_to_one_are_those_of_all_up_to_there(case: Case, window: Budget) -> None:
    space, table, _ = case
    highest = table.fixed + window.high
    unit, bits = reachable_costs(space, table, highest)
    found = {table.fixed + i * unit for i in range(bits.bit_length()) if bits >> i & 1}
    assert found == {cost for cost in all_costs(case) if cost <= highest}
