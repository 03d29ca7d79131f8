import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evospace.sampling.budget
from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.errors import BudgetError
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler, log_count
from evospace.sampling.gates import initial_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace
from tests.sampling.spaces import Case, cases, chi_square_fits, enumerate_space, make_case, windows

BRANCHES: list[Branches] = ["multi", "single"]
COSTS = [[4, 9, 2], [3, 3], [5, 1, 8]]


def inside(case: Case, window: Budget) -> dict[Architecture, float]:
    space, table, gates = case
    return {a: p for a, p in enumerate_space(space, gates).items() if table.cost(a) in window}


@given(cases(), windows())
def test_mass_and_count_equal_enumeration(case: Case, window: Budget) -> None:
    space, table, gates = case
    found = inside(case, window)
    sampler = WindowSampler(space, table, window, gates)
    assert sampler.possible == bool(found)
    if found:
        assert sampler.log_mass == pytest.approx(math.log(sum(found.values())), abs=1e-9)
        assert log_count(space, table, window) == pytest.approx(math.log(len(found)), abs=1e-9)
    else:
        assert sampler.log_mass == log_count(space, table, window) == -math.inf


@given(cases(), windows())
@settings(max_examples=60)
def test_draws_lie_inside_or_raise(case: Case, window: Budget) -> None:
    space, table, gates = case
    found = inside(case, window)
    sampler = WindowSampler(space, table, window, gates)
    rng = np.random.default_rng(0)
    if found:
        assert set(sampler.draw(20, rng)) <= set(found)
        distinct = sampler.draw_distinct(5, rng)
        assert len(distinct) == len(set(distinct)) <= 5
        return
    low, high = table.bounds(space)
    with pytest.raises(BudgetError) as caught:
        sampler.draw(1, rng)
    text = str(caught.value)
    assert str(window) in text
    assert f"from {low} to {high}" in text


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("bins", [values.MAX_BINS, 6])
def test_conditional_frequencies(branches: Branches, bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_BINS", bins)
    case = make_case(COSTS, [True, False, True], branches, seed=1)
    window = Budget(metric="macs", low=15, high=26)
    found = inside(case, window)
    counts = Counter(WindowSampler(*case[:2], window, case[2]).draw(40_000, np.random.default_rng(2)))
    assert chi_square_fits(counts, found)


@given(cases(), windows())
@settings(max_examples=60)
def test_binned_costs_still_cover_the_window(case: Case, window: Budget) -> None:
    space, table, gates = case
    found = inside(case, window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MAX_BINS", 5)
        sampler = WindowSampler(space, table, window, gates)
        assert sampler.possible == bool(found)
        if found and sum(found.values()) > 1e-2:
            assert set(sampler.draw(10, np.random.default_rng(0))) <= set(found)
        elif not found:
            with pytest.raises(BudgetError):
                sampler.draw(1, np.random.default_rng(0))


def test_distinct_finds_all_of_a_small_window() -> None:
    case = make_case(COSTS, [False] * 3, "multi", seed=3)
    window = Budget(metric="macs", low=20, high=22)
    found = inside(case, window)
    sampler = WindowSampler(*case[:2], window, initial_probabilities(case[0]))
    assert set(sampler.draw_distinct(100, np.random.default_rng(0))) == set(found)
    first = sampler.draw_distinct(4, np.random.default_rng(1))
    assert first == sampler.draw_distinct(4, np.random.default_rng(1))


def test_gates_that_shut_out_a_reachable_window() -> None:
    space, table, _ = make_case([[4, 2]], [False], "multi", seed=0)
    sampler = WindowSampler(space, table, Budget(metric="macs", low=13, high=13), [np.array([1.0, 0.0])])
    assert not sampler.possible
    with pytest.raises(BudgetError, match="no probability"):
        sampler.draw(1, np.random.default_rng(0))
    shut = WindowSampler(*make_case([[4]], [True], "multi", 0)[:2], sampler.window, [np.zeros(1)])
    assert shut.log_mass == -math.inf


def test_names_both_neighbours() -> None:
    space, table, gates = make_case([[10, 20]], [True], "single", seed=0)
    sampler = WindowSampler(space, table, Budget(metric="macs", low=20, high=24), gates)
    with pytest.raises(BudgetError, match="nearest reachable: 17 and 27; the space reaches from 17 to 27"):
        sampler.draw(1, np.random.default_rng(0))


@pytest.mark.parametrize("branches", BRANCHES)
def test_seventy_two_candidates_per_block(branches: Branches) -> None:
    rng = np.random.default_rng(5)
    costs = rng.integers(1, 400, size=(10, 72)).tolist()
    space, table, _ = make_case(costs, [b % 3 == 0 for b in range(10)], branches, seed=0)
    window = Budget(metric="macs", low=1500, high=1510)
    sampler = WindowSampler(space, table, window, initial_probabilities(space))
    drawn = sampler.draw_distinct(200, rng)
    assert len(drawn) == 200
    assert all(a in space and table.cost(a) in window for a in drawn)
    everything = Budget(metric="macs", low=0, high=10**9)
    assert log_count(space, table, everything) == pytest.approx(space.log10_size() * math.log(10))
    mass = WindowSampler(space, table, everything, initial_probabilities(space)).log_mass
    assert mass == pytest.approx(0.0, abs=1e-9)


def test_uniform_gates_draw_uniformly() -> None:
    space, table, _ = make_case(COSTS, [True] * 3, "multi", seed=0)
    gates = initial_probabilities(space)
    for low, width in itertools.product((20, 30), (0, 5)):
        window = Budget(metric="macs", low=low, high=low + width)
        mass = WindowSampler(space, table, window, gates).log_mass
        assert mass == pytest.approx(log_count(space, table, window) - math.log(7 * 3 * 7))


def test_further_limits_reject_and_count() -> None:
    space, table, gates = make_case(COSTS, [True, False, True], "multi", seed=1)
    other = CostTable(metric="params", fixed=0, ops=tuple({n: i + 1 for i, n in enumerate(ops)} for ops in table.ops))
    window = Budget(metric="macs", low=15, high=26)
    found = {a: p for a, p in inside((space, table, gates), window).items() if other.cost(a) <= 4}
    sampler = WindowSampler(space, table, window, gates)
    drawn, rejected = sampler.draw_within(200, np.random.default_rng(0), [(other, 4)])
    assert set(drawn) == set(found)  # fewer than 200 exist, and all of them are found
    share = sum(found.values()) / sum(inside((space, table, gates), window).values())
    assert rejected / 20_000 == pytest.approx(1 - share, abs=0.02)
    with pytest.raises(BudgetError, match=r"none of 100 architectures .* params <= 1"):
        sampler.draw_within(5, np.random.default_rng(0), [(other, 1)])
    assert sampler.draw_within(0, np.random.default_rng(0), [(other, 1)]) == ([], 0)


@given(cases(), windows(), st.integers(1, 40))
@settings(max_examples=60)
def test_few_bins_stay_exact_after_the_check(case: Case, window: Budget, bins: int) -> None:
    space, table, gates = case
    found = inside(case, window)
    sampler = WindowSampler(space, table, window, gates, bins=bins)
    assert sampler.possible == bool(found)
    if found and sum(found.values()) > 1e-2:
        assert set(sampler.draw(10, np.random.default_rng(0))) <= set(found)


def test_one_draw_is_found_where_a_bin_holds_hardly_any_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight blocks of costs 1 to 32: one draw in thirty of the binned window has exactly the cost."""
    space = SearchSpace((tuple("abcdef"),) * 8, (True,) * 8, "single")
    table = CostTable(metric="macs", fixed=0, ops=({name: 2**i for i, name in enumerate("abcdef")},) * 8)
    window = Budget.parse("macs=240..240")
    sampler = WindowSampler(space, table, window, [np.full(6, 1 / 6)] * 8, bins=10)
    monkeypatch.setattr(evospace.sampling.budget, "_FILTERED", 20)
    rng = np.random.default_rng(0)
    assert all(table.cost(sampler.draw(1, rng)[0]) == 240 for _ in range(30))


def test_peaked_gates_are_drawn_from_until_enough_is_found() -> None:
    """Twelve blocks of two operations of one cost, one of which is drawn hardly ever: 4,096 architectures."""
    space = SearchSpace((("a", "b"),) * 12, (True,) * 12, "single")
    table = CostTable(metric="macs", fixed=0, ops=({"a": 1, "b": 1},) * 12)
    gates = [np.array([0.97, 0.03])] * 12
    found = WindowSampler(space, table, Budget.parse("macs=12..12"), gates).draw_distinct(60, np.random.default_rng(0))
    assert len(found) == 60


def test_what_hardly_any_draw_keeps_is_drawn_decision_by_decision() -> None:
    """Twelve blocks of a cheap and a dear operation of one cost: the gates draw all cheap once in 10^24."""
    space = SearchSpace((("dear", "cheap"),) * 12, (True,) * 12, "single")
    table = CostTable(metric="macs", fixed=0, ops=({"dear": 1, "cheap": 1},) * 12)
    other = CostTable(metric="params", fixed=5, ops=({"dear": 2, "cheap": 1},) * 12)
    sampler = WindowSampler(space, table, Budget.parse("macs=12..12"), [np.array([0.99, 0.01])] * 12)
    drawn, rejected = sampler.draw_within(10, np.random.default_rng(0), [(other, 17)])
    assert [a.blocks for a in drawn] == [(("cheap",),) * 12]
    assert rejected == 100  # ten batches, none of which kept it
    flatter = WindowSampler(space, table, Budget.parse("macs=12..12"), [np.array([0.8, 0.2])] * 12)
    drawn, rejected = flatter.draw_within(10, np.random.default_rng(0), [(other, 19)])  # at most two are dear
    assert len(drawn) == 10
    assert rejected >= 98
    assert all(other.cost(a) <= 19 for a in drawn)
    with pytest.raises(BudgetError, match="params <= 16"):
        sampler.draw_within(10, np.random.default_rng(0), [(other, 16)])


@given(cases(), windows(), st.integers(0, 25), st.integers(0, 99))
@settings(max_examples=60)
def test_draws_held_to_a_limit_keep_it_and_miss_none(case: Case, window: Budget, high: int, seed: int) -> None:
    space, table, gates = case
    rng = np.random.default_rng(seed)
    other = CostTable(metric="params", fixed=1, ops=tuple({n: int(rng.integers(9)) for n in c} for c in table.ops))
    wanted = {a for a, p in inside(case, window).items() if other.cost(a) <= high and p > 0}
    sampler = WindowSampler(space, table, window, gates)
    if wanted:
        drawn = sampler._batch(2000, rng, [(other, high)])
        assert len(drawn) == 2000  # none is lost on the way
        assert set(drawn) <= wanted
        assert len(wanted) > 5 or set(drawn) == wanted


def test_of_two_limits_that_no_draw_keeps_together_nothing_is_kept() -> None:
    space = SearchSpace((("a", "b"),), (True,), "multi")
    table = CostTable(metric="macs", fixed=0, ops=({"a": 1, "b": 1},))
    one, two = (
        CostTable(metric=m, fixed=0, ops=(c,)) for m, c in (("params", {"a": 1, "b": 5}), ("latency", {"a": 5, "b": 1}))
    )
    sampler = WindowSampler(space, table, Budget.parse("macs=1..2"), [np.array([0.5, 0.5])])
    assert sampler._batch(50, np.random.default_rng(0), [(one, 2), (two, 2)]) == []
    with pytest.raises(BudgetError, match=r"params <= 2, latency <= "):
        sampler.draw_within(5, np.random.default_rng(0), [(one, 2), (two, 2)])
