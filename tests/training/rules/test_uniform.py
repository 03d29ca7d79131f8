"""A uniform single path: every architecture as likely as any other with uniform gates; sparse ones favour the skip."""

from collections import Counter

import numpy as np
import pytest

from evospace.sampling.gates import SPARSE
from evospace.sampling.in_budget import InBudgetGates
from evospace.space.search_space import SearchSpace
from evospace.training.rules.uniform import UniformRule
from tests.training.rules.made import BLOCKS, NAMES, drawn
from tests.training.test_supernet_trainer import BUDGET, TABLE, cost_of, trainer

DRAWS = 6000


@pytest.mark.parametrize("branches", ["single", "multi"])
def test_every_architecture_is_as_likely(branches: str) -> None:
    space = SearchSpace.over(BLOCKS, NAMES, branches, "uniform")  # type: ignore[arg-type]
    counts = Counter(drawn(UniformRule(), space, step=0, draws=DRAWS))
    choices = (3 * 4) if branches == "single" else (7 * 8)  # one block needs an operation
    assert len(counts) == choices
    expected = DRAWS / choices
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_with_sparse_gates_a_block_of_one_of_k_is_a_skip_twice_as_often_as_not() -> None:
    space = SearchSpace.over(BLOCKS, NAMES, "single", "sparse")
    free = [blocks[space.required.index(False)] for blocks in drawn(UniformRule(), space, step=0, draws=DRAWS)]
    counts = Counter(free)
    assert counts[()] / DRAWS == pytest.approx(1 / (1 + SPARSE), abs=0.03)
    assert all(counts[(name,)] / DRAWS == pytest.approx(SPARSE / 3 / (1 + SPARSE), abs=0.02) for name in NAMES)


def test_a_window_keeps_what_is_trained_near_the_budget() -> None:
    work = trainer(train_gates="uniform")
    state, rng = work.start(), np.random.default_rng(0)
    rule = UniformRule(near=InBudgetGates(TABLE, BUDGET.around(0.8, 1.2)))
    costs = [cost_of(rule.route(state, rng, 0)) for _ in range(40)]
    assert all(0.8 * BUDGET.target <= cost <= 1.2 * BUDGET.target for cost in costs)
    assert any(cost_of(UniformRule().route(state, rng, 0)) > 1.2 * BUDGET.target for _ in range(40))
