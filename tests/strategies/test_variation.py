"""Mutation and crossover: always inside the space, and as random as they say."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.sampling.gates import draw, initial_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.variation import crossed, fits, mutated
from tests.strategies.table_lab import NAMES, problem

SPACES = [problem("macs=1..999", branches).full for branches in ("single", "multi")]


@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), space=st.sampled_from(SPACES))
def test_a_mutant_is_another_architecture_of_the_space(seed: int, rate: float, space: SearchSpace) -> None:
    rng = np.random.default_rng(seed)
    parent = draw(space, initial_probabilities(space), rng)
    child = mutated(parent, space, rate, rng)
    assert child in space
    assert child != parent
    if rate == 0:
        assert sum(a != b for a, b in zip(parent.blocks, child.blocks, strict=True)) == 1


@given(seed=st.integers(0, 2**32), space=st.sampled_from(SPACES))
def test_a_multi_branch_block_changes_by_one_operation_or_exchanges_one(seed: int, space: SearchSpace) -> None:
    rng = np.random.default_rng(seed)
    parent = draw(space, initial_probabilities(space), rng)
    child = mutated(parent, space, 1.0, rng)
    for before, after in zip(parent.blocks, child.blocks, strict=True):
        gained, lost = set(after) - set(before), set(before) - set(after)
        assert 1 <= len(gained) + len(lost) <= 2
        assert max(len(gained), len(lost)) == 1


def test_single_branch_choices_are_drawn_alike_and_blocks_at_the_rate() -> None:
    space, rng = SPACES[0], np.random.default_rng(0)
    parent = Architecture.of([["op0"], ["op0"], [], ["op1"]])
    children = [mutated(parent, space, 0.25, rng) for _ in range(8000)]
    first = Counter(child.blocks[0] for child in children if child.blocks[0] != ("op0",))
    assert set(first) == {(), *((name,) for name in NAMES[1:])}
    expected = sum(first.values()) / 7
    assert sum((n - expected) ** 2 / expected for n in first.values()) < 22.5  # chi-square, 6 degrees, 0.1 %
    share = sum(child.blocks[1] != parent.blocks[1] for child in children) / len(children)
    assert share == pytest.approx(0.25 + 0.75 / 4, abs=0.02)


def test_by_sparse_gates_most_filled_blocks_that_change_are_emptied() -> None:
    """Odds of a block's seven operations sum to 1/2, so beside the one that is left they are 6/14 to 1."""
    space, rng = replace(SPACES[0], gates="sparse"), np.random.default_rng(0)
    parent = Architecture.of([["op0"], ["op0"], [], ["op1"]])
    children = [mutated(parent, space, 1.0, rng) for _ in range(4000)]
    emptied = [not child.blocks[0] for child in children]
    assert np.mean(emptied) == pytest.approx(14 / 20, abs=0.03)  # four standard errors
    assert all(child.blocks[1] and child.blocks[2] for child in children)  # a required block, and an empty one


def test_by_sparse_gates_a_multi_branch_block_loses_or_exchanges_and_hardly_gains() -> None:
    """Odds 1 to 14 each: of {op0}, to lose it weighs 14, each of six exchanges 1, each of six gains 1/14."""
    space, rng = replace(SPACES[1], gates="sparse"), np.random.default_rng(0)
    parent = Architecture.of([["op0"], ["op0"], [], ["op1"]])
    sizes = Counter(len(mutated(parent, space, 1.0, rng).blocks[0]) for _ in range(4000))
    total = 14 + 6 + 6 / 14
    assert sizes[0] / 4000 == pytest.approx(14 / total, abs=0.03)  # four standard errors
    assert sizes[1] / 4000 == pytest.approx(6 / total, abs=0.03)
    assert sizes[2] / 4000 == pytest.approx(6 / 14 / total, abs=0.01)


@pytest.mark.parametrize("gates", ["uniform", "sparse"])
@pytest.mark.parametrize("branches", ["single", "multi"])
def test_mutations_alone_hold_at_most_twice_the_operations_that_the_gates_draw(branches: str, gates: str) -> None:
    """Else an evolution fills what its supernet was hardly ever trained with, the more so the larger the pool.

    Twice, because a block that changes does not stay empty.
    """
    names = tuple(f"op{i}" for i in range(27))
    space = SearchSpace((names,) * 7, (False,) * 7, branches, gates)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    drawn = np.mean([_held(draw(space, initial_probabilities(space), rng)) for _ in range(300)])
    architecture, held = draw(space, initial_probabilities(space), rng), list[int]()
    for _ in range(1500):
        architecture = mutated(architecture, space, 0.1, rng)
        held.append(_held(architecture))
    assert 0.8 < np.mean(held[300:]) / drawn < 2.0


def _held(architecture: Architecture) -> int:
    return sum(map(len, architecture.blocks))


def test_a_block_without_another_choice_stays_as_it_is() -> None:
    space = SearchSpace((("op0",),), (True,), "single")
    parent = Architecture.of([["op0"]])
    assert mutated(parent, space, 1.0, np.random.default_rng(0)) == parent
    multi = SearchSpace((("op0",),), (True,), "multi")
    assert mutated(parent, multi, 1.0, np.random.default_rng(0)) == parent


@given(seed=st.integers(0, 2**32))
def test_a_cross_takes_every_block_from_one_of_the_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (draw(SPACES[1], initial_probabilities(SPACES[1]), rng) for _ in range(2))
    child = crossed(first, second, rng)
    assert all(c in (a, b) for c, a, b in zip(child.blocks, first.blocks, second.blocks, strict=True))
    assert child in SPACES[1]


def test_a_cross_takes_half_from_each() -> None:
    rng = np.random.default_rng(0)
    first, second = Architecture.of([["op0"]] * 4), Architecture.of([["op1"]] * 4)
    taken = Counter(tuple(names == ("op0",) for names in crossed(first, second, rng).blocks) for _ in range(3200))
    assert len(taken) == 16
    assert sum((n - 200) ** 2 / 200 for n in taken.values()) < 37.7  # chi-square, 15 degrees, 0.1 %


def test_what_fits_keeps_budget_and_limits() -> None:
    made = problem("macs=40..50")
    cheap, right = Architecture.of([[], ["op0"], [], ["op0"]]), Architecture.of([["op0"], ["op0"], [], ["op6"]])
    assert not fits(cheap, made)
    assert fits(right, made)
    limited = type(made)(full=made.full, tables=made.tables, budget=made.budget, classes=10, limits={"params": 40})
    assert not fits(right, limited)
