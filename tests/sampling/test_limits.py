"""The least of a further cost, against all architectures of small spaces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import limits
from evospace.sampling.limits import least_cost, within_reach
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


@given(cases(), windows(), st.integers(0, 30), st.integers(0, 99))
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
