import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.table import CostTable
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace

SPACE = SearchSpace((("a", "b"), ("b", "c", "a"), ("a",), ()), (True, False, True, False))
COSTS: tuple[dict[str, int], ...] = ({"a": 3, "b": 5, "unused": 1}, {"a": 7, "b": 11, "c": 13}, {"a": 17}, {})
TABLE = CostTable(metric="macs", fixed=100, ops=COSTS)
BRANCHES = st.sampled_from(["multi", "single"])


def members(space: SearchSpace) -> list[Architecture]:
    subsets = [
        [chosen for n in range(len(names) + 1) for chosen in itertools.combinations(names, n)]
        for names in space.candidates
    ]
    return [a for a in map(Architecture.of, itertools.product(*subsets)) if a in space]


def likelihood(space: SearchSpace, architecture: Architecture, probabilities: list[np.ndarray]) -> float:
    """The probability of one architecture, up to the conditioning on its blocks being in the space."""
    total = 1.0
    for names, chosen, p in zip(space.candidates, architecture.blocks, probabilities, strict=True):
        inside = np.isin(names, chosen) if names else np.zeros(0, dtype=bool)
        if space.branches == "multi":
            total *= float(np.prod(np.where(inside, p, 1 - p)))
        else:
            total *= float(p[inside].sum()) if chosen else 1.0 - float(p.sum())
    return total


def test_cost_is_the_sum_of_its_parts() -> None:
    assert TABLE.cost(Architecture.of([["a", "b"], [], ["a"], []])) == 100 + 3 + 5 + 17


@given(BRANCHES, st.lists(st.floats(0.05, 0.95), min_size=6, max_size=6))
def test_expected_cost_is_the_mean_over_the_enumerated_space(branches: Branches, values: list[float]) -> None:
    space = SearchSpace(SPACE.candidates, SPACE.required, branches)
    p = [np.array(values[:2]), np.array(values[2:5]), np.array(values[5:]), np.zeros(0)]
    if branches == "single":  # one-of-K; what an optional block lacks to 1 is its skip's
        p = [p[0] / p[0].sum(), p[1] / (p[1].sum() + 1.0), np.ones(1), p[3]]
    weights = np.array([likelihood(space, a, p) for a in members(space)])
    costs = np.array([TABLE.cost(a) for a in members(space)])
    assert TABLE.expected(space, p) == pytest.approx(weights @ costs / weights.sum())


@given(BRANCHES)
def test_bounds_are_the_cheapest_and_dearest_of_the_enumerated_space(branches: Branches) -> None:
    space = SearchSpace(SPACE.candidates, SPACE.required, branches)
    costs = [TABLE.cost(a) for a in members(space)]
    assert TABLE.bounds(space) == (min(costs), max(costs))
