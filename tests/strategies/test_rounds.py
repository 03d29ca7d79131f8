import numpy as np
import pytest

import evospace.sampling.budget
from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem
from evospace.strategies.rounds import sample
from tests.strategies.table_lab import TableLab, nearness


@pytest.mark.parametrize("known", [True, False])
def test_what_gates_hardly_ever_draw_below_the_window_is_done_without(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs are binned, and the likely network is the cheapest of the window: every draw just below it is that one.

    Most often it is `known` beforehand, and nothing is drawn.
    """
    monkeypatch.setattr(values, "MAX_BINS", 100)
    monkeypatch.setattr(evospace.sampling.budget, "_FILTERED", 3)
    if known:
        monkeypatch.setattr(WindowSampler, "draw_distinct", pytest.fail)
    else:
        monkeypatch.setattr(WindowSampler, "kept", 1.0)
    space = SearchSpace((("a", "b"), ("c", "d")), (True, True), "single")
    ops = ({"a": 700_001, "b": 690_000}, {"c": 200_000, "d": 200_001})
    table = CostTable(metric="macs", fixed=0, ops=ops)
    budget = Budget(metric="macs", low=900_000, high=1_000_000)
    made = Problem(full=space, tables={"macs": table, "params": table}, budget=budget, classes=10)
    rare = np.exp(-20.0)
    lab = TableLab(oracle=nearness, probabilities=lambda _: [np.array([1 - rare, rare]), np.array([0.5, 0.5])])
    found, _ = sample(made, lab.train(1, space, "nse"), 4, np.random.default_rng(0))
    assert sorted(map(table.cost, found)) == [900_001, 900_002]
