"""The most probable architecture of a window, beside going through all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.errors import BudgetError
from evospace.sampling import most_probable as module
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.sampling.most_probable import most_probable
from evospace.space.architecture import Architecture
from tests.sampling.spaces import Case, enumerate_space, make_case, windows


@st.composite
def single_cases(draw: st.DrawFn) -> Case:
    """Up to four blocks of up to three operations, one of which each block may choose."""
    unit = draw(st.sampled_from([1, 6]))
    block = st.lists(st.integers(0, 8).map(lambda c: c * unit), max_size=3)
    costs = draw(st.lists(block, min_size=1, max_size=4))
    required = [bool(c) and draw(st.booleans()) for c in costs]
    return make_case(costs, required, "single", draw(st.integers(0, 99)))


def inside(case: Case, window: Budget) -> dict[Architecture, float]:
    space, table, gates = case
    return {a: p for a, p in enumerate_space(space, gates).items() if table.cost(a) in window}


def check(case: Case, window: Budget) -> None:
    """The best of all, or the window sampler's error where there is none."""
    space, table, gates = case
    chances = inside(case, window)
    if chances:
        found = most_probable(space, table, window, gates)
        assert chances[found] == pytest.approx(max(chances.values()))
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(WindowSampler, "draw")  # a window known to be impossible is not drawn from
            with pytest.raises(BudgetError, match="no architecture of the space has"):
                most_probable(space, table, window, gates)


@given(single_cases(), windows())
def test_equals_the_best_of_all(case: Case, window: Budget) -> None:
    check(case, window)


@given(single_cases(), windows(), st.integers(1, 12))
def test_equals_the_best_of_all_where_costs_are_binned(case: Case, window: Budget, bins: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MAX_BINS", bins)
        check(case, window)


@given(single_cases(), windows(), st.integers(1, 12), st.integers(0, 10))
@settings(max_examples=60)
def test_a_search_that_is_cut_short_still_ends_inside(case: Case, window: Budget, bins: int, looks: int) -> None:
    space, table, gates = case
    chances = inside(case, window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MAX_BINS", bins)
        patch.setattr(module, "_LOOKS", looks)
        patch.setattr(module, "_DRAWS", 1)
        if sum(chances.values()) > 1e-2:
            found = most_probable(space, table, window, gates)
            assert found in chances
            assert found == most_probable(space, table, window, gates)
        elif not chances:
            with pytest.raises(BudgetError):
                most_probable(space, table, window, gates)


@pytest.mark.parametrize(("limit", "value"), [("MAX_BINS", 2_000), ("MAX_VALUES", 9 * 2_000)])
def test_a_window_narrowed_for_its_bins_loses_little(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dearer, the more probable: a great many networks just beyond the window are more probable than all in it.

    2,000 bins, whatever sets them: nine operations a block.
    """
    monkeypatch.setattr(values, limit, value)
    monkeypatch.setattr(module, "_LOOKS", 200)
    monkeypatch.setattr(module, "_DRAWS", 1)
    rng = np.random.default_rng(0)
    costs = rng.integers(1, 1_000_000, (12, 9)).tolist()
    space, table, _ = make_case(costs, [True] * 12, "single", seed=0)
    gates = [np.exp(np.array(block) / 1e5) / np.exp(np.array(block) / 1e5).sum() for block in costs]
    window = Budget(metric="macs", low=7_000_000, high=8_000_000)
    binned = table.cost(most_probable(space, table, window, gates))
    assert window.high - 2 * 12 * (window.high / 2_000 + 2) < binned <= window.high


def test_a_skip_counts_with_what_the_operations_leave() -> None:
    space, table, _ = make_case([[4, 2], [3]], [False, True], "single", seed=0)
    wide = Budget(metric="macs", low=0, high=99)
    kept = most_probable(space, table, wide, [np.array([0.4, 0.3]), np.ones(1)])
    assert kept == Architecture.of([[space.candidates[0][0]], space.candidates[1]])
    skipped = most_probable(space, table, wide, [np.array([0.35, 0.25]), np.ones(1)])
    assert skipped == Architecture.of([[], space.candidates[1]])
    needed = most_probable(space, table, wide, [np.array([0.4, 0.3]), np.array([0.1])])
    assert needed == kept  # what the only operation of a required block leaves is nobody's
    dear = Budget(metric="macs", low=12, high=99)  # fixed costs are 7
    assert most_probable(space, table, dear, [np.array([0.01, 0.02]), np.ones(1)]).blocks[0]


def test_what_the_gates_shut_out_is_never_returned() -> None:
    space, table, _ = make_case([[4, 2]], [True], "single", seed=0)
    with pytest.raises(BudgetError, match="the gates give no probability"):
        most_probable(space, table, Budget(metric="macs", low=11, high=11), [np.array([0.0, 1.0])])


def test_a_multi_branch_space_is_refused() -> None:
    space, table, gates = make_case([[4, 2]], [True], "multi", seed=0)
    with pytest.raises(AssertionError, match="one operation per block"):
        most_probable(space, table, Budget(metric="macs", low=0, high=99), gates)


def test_equal_products_are_decided_at_once_and_always_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """All architectures of a space like the authors' are equal, and none is gone into but the one returned."""
    monkeypatch.setattr(module, "_LOOKS", 22 + 1)
    monkeypatch.delattr(module, "WindowSampler")
    rng = np.random.default_rng(1)
    costs = (1568 * rng.integers(1, 20_000, (22, 27))).tolist()
    space, table, _ = make_case(costs, [b % 4 == 0 for b in range(22)], "single", seed=0)
    window = Budget(metric="macs", low=295_000_000, high=300_000_000)
    found = most_probable(space, table, window, initial_probabilities(space))
    assert found in space
    assert table.cost(found) in window
    assert found == most_probable(space, table, window, initial_probabilities(space))
