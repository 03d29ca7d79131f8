from collections import Counter

import numpy as np
import pytest

from evospace.cost.budget import Budget
from evospace.errors import BudgetError
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.sampling.in_budget import BATCH, InBudgetGates
from evospace.space.search_space import Branches
from tests.sampling.spaces import chi_square_fits, enumerate_space, make_case

COSTS = [[4, 9, 2], [3, 3], [5, 1, 8]]


@pytest.mark.parametrize("branches", ["multi", "single"])
def test_draws_are_uniform_gates_given_the_window(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evospace.sampling.in_budget.GATE_BINS", 6)  # far fewer than costs: the exact check must bite
    space, table, _ = make_case(COSTS, [True, False, True], branches, seed=0)
    window = Budget(metric="macs", low=15, high=26)
    weights = enumerate_space(space, initial_probabilities(space))
    inside = {a: p for a, p in weights.items() if table.cost(a) in window}
    gates, rng = InBudgetGates(table, window), np.random.default_rng(0)
    counts = Counter(gates.draw(space, rng) for _ in range(8_000))
    assert chi_square_fits(counts, inside)


def test_two_draws_follow_the_given_gates_inside_the_window_and_each_other_not() -> None:
    space, table, _ = make_case(COSTS, [True, False, True], "multi", seed=0)
    window = Budget(metric="macs", low=15, high=26)
    p = [np.array([0.9, 0.2, 0.5]), np.array([0.3, 0.7]), np.array([0.1, 0.8, 0.4])]
    inside = {a: q for a, q in enumerate_space(space, p).items() if table.cost(a) in window}
    gates, rng = InBudgetGates(table, window), np.random.default_rng(0)
    pairs = [gates.draw_two(space, p, rng) for _ in range(2_000)]
    assert chi_square_fits(Counter(a for a, _ in pairs), inside)
    assert chi_square_fits(Counter(b for _, b in pairs), inside)
    total = sum(inside.values())
    same = sum((q / total) ** 2 for q in inside.values())
    assert abs(sum(a == b for a, b in pairs) / len(pairs) - same) < 4 * (same / len(pairs)) ** 0.5


def test_follows_the_space_as_it_is_pruned() -> None:
    space, table, _ = make_case(COSTS, [False] * 3, "multi", seed=0)
    gates, rng = InBudgetGates(table, Budget(metric="macs", low=7, high=99)), np.random.default_rng(0)
    assert any("op1" in gates.draw(space, rng).blocks[0] for _ in range(40))
    pruned = space.without([(0, "op1")])
    assert not any("op1" in gates.draw(pruned, rng).blocks[0] for _ in range(40))
    assert gates.draw(pruned, np.random.default_rng(7)) == gates.draw(pruned, np.random.default_rng(7))


def test_an_impossible_window_is_an_error() -> None:
    space, table, _ = make_case(COSTS, [False] * 3, "multi", seed=0)
    with pytest.raises(BudgetError):
        InBudgetGates(table, Budget(metric="macs", low=1, high=6)).draw(space, np.random.default_rng(0))


def test_a_narrow_window_among_dear_costs_is_hit() -> None:
    """A window of 30 in costs of millions: bins as wide as for a wide one would miss it nearly always."""
    costs = [[1_000_003 + 7 * b, 2_000_011 + 3 * b, 3_000_017 + b] for b in range(6)]
    space, table, _ = make_case(costs, [False] * 6, "multi", seed=0)
    middle = 7 + 1_000_003 + 2_000_011
    gates = InBudgetGates(table, Budget(metric="macs", low=middle, high=middle + 30))
    rng = np.random.default_rng(0)
    assert all(middle <= table.cost(gates.draw(space, rng)) <= middle + 30 for _ in range(20))


def test_bins_are_fine_enough_where_the_roundings_of_many_operations_add_up() -> None:
    """With uniform gates dear architectures are far likelier: a window widened by all roundings kept hardly a draw."""
    costs = [[1_001 + 7 * i + b for i in range(30)] for b in range(4)]
    space, table, _ = make_case(costs, [False] * 4, "multi", seed=0)
    window = Budget(metric="macs", low=20_000, high=22_000)
    coarse = WindowSampler(space, table, window, initial_probabilities(space), bins=100)
    assert coarse.kept < 0.01
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evospace.sampling.in_budget.GATE_BINS", 100)
        patch.setattr("evospace.sampling.in_budget.WINDOW_BINS", 1)
        gates, rng = InBudgetGates(table, window), np.random.default_rng(0)
        drawn = [gates.draw(space, rng), *gates.draw_two(space, initial_probabilities(space), rng)]
    assert all(table.cost(a) in window for a in drawn)
    sampler = gates._by_initial_gates(space)
    assert sampler.kept >= 1 / BATCH
    assert sampler is gates._by_initial_gates(space)
