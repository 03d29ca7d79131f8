"""The least of a further cost, against all architectures of small spaces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import limits
from evospace.sampling.limits import costs_with_one_more, least_cost, whole, within_reach
from evospace.space.search_space import SearchSpace
from tests.sampling.spaces import Case, cases, enumerate_space, windows


def other_costs(case: Case, seed: int) -> CostTable:
    """Costs that have nothing to do with the first."""
    rng = np.random.default_rng(seed)
    ops = tuple({name: int(rng.integers(9)) for name in costs} for costs in case[1].ops)
    return CostTable(metric="params", fixed=3, ops=ops)


def least(case: Case, window: Budget, other: CostTable) -> float:
    space, table, gates = case
    found = [other.cost(a) for a in enumerate_space(space, gates) if table.cost(a) in window]
    return min(found, default=math.inf)


@given(cases(), windows(), st.integers(0, 99))
def test_the_least_is_that_of_all_in_the_window(case: Case, window: Budget, seed: int) -> None:
    other = other_costs(case, seed)
    assert least_cost(case[0], case[1], window, other) == least(case, window, other)


@given(cases(), windows(), st.integers(1, 30), st.integers(0, 99))
def test_a_limit_is_within_reach_where_something_keeps_it(case: Case, window: Budget, high: int, seed: int) -> None:
    other = other_costs(case, seed)
    possible = least(case, window, other) <= high
    assert within_reach(case[0], case[1], window, [(other, high)]) == possible
    assert within_reach(case[0], case[1], window, []) == (least(case, window, other) < math.inf)


@given(cases(), windows(), st.integers(1, 20), st.integers(0, 99))
def test_with_few_bins_it_is_never_too_large(case: Case, window: Budget, bins: int, seed: int) -> None:
    other = other_costs(case, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BINS", bins)
        assert least_cost(case[0], case[1], window, other) <= least(case, window, other)


@given(cases(), windows(), st.integers(0, 99))
def test_one_more_operation_is_as_if_the_space_had_it(case: Case, window: Budget, seed: int) -> None:
    (full, table, _), other = case, other_costs(case, seed)
    rng = np.random.default_rng(seed)
    kept = [
        [n for i, n in enumerate(names) if i == 0 or rng.random() < 0.5] for names in full.candidates
    ]  # a block that needs one keeps one
    space = full.with_candidates(kept)
    found = costs_with_one_more(space, full, table, window, other)
    assert set(found) == {(b, n) for b, names in enumerate(full.candidates) for n in names if n not in kept[b]}
    for (b, name), cost in found.items():
        more = [[n for n in names if n in kept[i] or (i, n) == (b, name)] for i, names in enumerate(full.candidates)]
        assert cost == least_cost(full.with_candidates(more), table, window, other)


def test_two_limits_that_exclude_each_other_are_told_by_their_sum() -> None:
    """Either operation keeps one limit alone; both together have 6 / 2 + 6 / 2 shares, more than two."""
    space = SearchSpace((("a", "b"),) * 2, (True,) * 2, "single")
    table, one, two = (
        CostTable(metric=metric, fixed=0, ops=({"a": a, "b": b},) * 2)
        for metric, a, b in (("macs", 1, 1), ("params", 1, 5), ("latency", 5, 1))
    )
    window = Budget.parse("macs=2..2")
    limits = [(one, 2), (two, 2)]
    assert all(within_reach(space, table, window, [limit]) for limit in limits)
    assert not within_reach(space, table, window, limits)
    ((shares, most),) = whole(limits)[len(limits) :]
    assert (shares.ops[0], most) == ({"a": 3_000_000, "b": 3_000_000}, 2_000_000)
    assert whole(limits[:1]) == limits[:1]
