import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import SPARSE, draw, draw_excluding, initial_probabilities
from evospace.space.search_space import Branches
from tests.sampling.spaces import Case, cases, chi_square_fits, enumerate_space, make_case

Point = tuple[bool, ...]


def points(k: int) -> list[Point]:
    return list(itertools.product([False, True], repeat=k))


def arrays(excluded: list[Point]) -> list[np.ndarray]:
    return [np.array(point, dtype=bool) for point in excluded]


@pytest.mark.parametrize("branches", ["multi", "single"])
def test_unconditional_frequencies(branches: Branches) -> None:
    space, _, gates = make_case([[1, 2], [3], [4, 5]], [True, False, False], branches, seed=4)
    expected = enumerate_space(space, gates)
    rng = np.random.default_rng(0)
    assert chi_square_fits(Counter(draw(space, gates, rng) for _ in range(20_000)), expected)


@given(cases())
@settings(max_examples=50)
def test_draws_belong_to_the_space(case: Case) -> None:
    space, _, gates = case
    assert draw(space, gates, np.random.default_rng(0)) in space
    uniform = initial_probabilities(space)
    assert draw(space, uniform, np.random.default_rng(0)) in space
    assert len(set(np.round(list(enumerate_space(space, uniform).values()), 12))) == 1


@pytest.mark.parametrize("branches", ["multi", "single"])
def test_sparse_gates_have_odds_that_sum_to_a_constant(branches: Branches) -> None:
    space, *_ = make_case([[1, 2], [3], [], [1, 2, 3, 4]], [True, False, False, False], branches, seed=0)
    found = initial_probabilities(replace(space, gates="sparse"))
    for p, names, needed in zip(found, space.candidates, space.required, strict=True):
        left_out = 1 - p if branches == "multi" else 1 - p.sum()
        if branches == "single" and needed:
            assert p.tolist() == pytest.approx([1 / len(names)] * len(names))
        elif names:
            assert (p / left_out).sum() == pytest.approx(SPARSE)


def test_sparse_gates_draw_few_wide_operations_inside_a_budget() -> None:
    costs = [[1, 1, 1, 1, 1, 1, 4, 4, 4]] * 2
    space, table, _ = make_case(costs, [False, False], "multi", seed=0)
    few, many = (
        WindowSampler(
            s, table, Budget(metric="macs", low=table.fixed + 4, high=table.fixed + 4), initial_probabilities(s)
        ).draw(300, np.random.default_rng(0))
        for s in (replace(space, gates="sparse"), space)
    )
    assert np.mean([sum(map(len, a.blocks)) for a in many]) > 3.5
    assert np.mean([sum(map(len, a.blocks)) for a in few]) < 2.0


@given(st.data(), st.integers(1, 4))
def test_never_an_excluded_point(data: st.DataObject, k: int) -> None:
    excluded = data.draw(st.lists(st.sampled_from(points(k)), max_size=2**k - 1))
    p = np.array(data.draw(st.lists(st.floats(1e-12, 1 - 1e-12), min_size=k, max_size=k)))
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert tuple(draw_excluding(p, arrays(excluded), rng).tolist()) not in excluded


def test_excluding_frequencies() -> None:
    p = np.array([0.3, 0.8, 0.6])
    excluded: list[Point] = [
        (False, True, True),
        (True, True, False),
        (False, False, False),
        (False, True, True),
    ]
    weights: dict[Point, float] = {
        point: math.prod(q if bit else 1 - q for q, bit in zip(p.tolist(), point, strict=True))
        for point in points(3)
        if point not in excluded
    }
    rng = np.random.default_rng(1)
    counts = Counter(tuple(draw_excluding(p, arrays(excluded), rng).tolist()) for _ in range(20_000))
    assert chi_square_fits(counts, weights)


def test_excluding_the_mode_of_saturated_gates() -> None:
    p = np.full(3, 1 - 1e-13)
    rng = np.random.default_rng(2)
    drawn = Counter(int(draw_excluding(p, [np.ones(3, dtype=bool)], rng).sum()) for _ in range(300))
    assert drawn == {2: 300}


def test_nothing_left_raises() -> None:
    with pytest.raises(ValueError, match="excluded"):
        draw_excluding(np.array([0.5]), arrays(points(1)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="excluded"):
        draw_excluding(np.ones(2), [np.ones(2, dtype=bool)], np.random.default_rng(0))
