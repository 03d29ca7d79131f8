"""The whole loop against a table oracle with a known optimum: no network, under a second."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from evospace.config import SearchConfig
from evospace.cost.table import CostTable
from evospace.estimation.evaluation import Evaluation
from evospace.space.architecture import Architecture
from evospace.strategies import spos
from evospace.strategies.contract import RoundResult, SearchState
from evospace.strategies.nse import _rehearsed, evolve, extended, first_state
from evospace.strategies.queues import default_rounds, shuffled
from evospace.strategies.rounds import sample
from evospace.strategies.spos import best
from tests.strategies import table_lab
from tests.strategies.table_lab import NAMES, nearness, problem

BLOCKS = 3
PROBLEM = problem("macs=30..60", blocks=BLOCKS)
FULL = PROBLEM.full
SETTINGS = SearchConfig(candidates=3, samples=60)
TableLab = partial(table_lab.TableLab, oracle=nearness)


def run(lab: table_lab.TableLab, state: SearchState | None = None, **changes: object) -> list[RoundResult]:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    return list(
        evolve(
            PROBLEM, settings, lab, state or first_state(shuffled(FULL.candidates, 0), default_rounds(len(NAMES), 3))
        )
    )


def test_the_known_optimum_is_found_and_everything_was_traversed() -> None:
    lab = TableLab()
    results = run(lab)
    assert results[-1].state.front[-1].accuracy == pytest.approx(0.95)
    assert results[-1].state.front[-1].architecture == Architecture.of([["op4"]] * BLOCKS)
    for b in range(BLOCKS):
        assert {n for _, space, _ in lab.trained for n in space.candidates[b]} == set(NAMES)
    assert results[-1].state.waiting == ((),) * BLOCKS
    assert {(rule, go_on) for rule, _, go_on in lab.trained} == {("nse", False)}
    hypervolumes = [r.hypervolume for r in results]
    assert hypervolumes == sorted(hypervolumes)


def test_the_front_is_inherited_locked_and_rehearsed() -> None:
    lab = TableLab()
    results = run(lab)
    for before, after, locked in zip(results, results[1:], lab.locked[1:], strict=False):
        used = {(b, n) for e in before.state.front for b, names in enumerate(e.architecture.blocks) for n in names}
        assert used == locked
        rehearsed = [e.architecture for e in after.evaluations[: len(before.state.front)]]
        assert rehearsed == [e.architecture for e in before.state.front]
        assert after.rehearsed_hypervolume is not None
        assert 0 <= after.rehearsed_hypervolume <= after.hypervolume
    kept = [
        (e, old.round)
        for before, after in itertools.pairwise(results)
        for e in after.state.front
        for old in before.state.front
        if old.architecture == e.architecture
    ]
    assert kept
    assert all(e.round == first for e, first in kept)  # that of the round which found it


def test_the_rehearsed_front_is_beside_the_same_cheaper_architectures() -> None:
    """What is cheaper than the budget takes its part of the area from both, or they could not be compared."""

    def scored(name: str, macs: int, accuracy: float) -> Evaluation:
        architecture = Architecture.of([[name]])
        return Evaluation(architecture=architecture, macs=macs, params=1, accuracy=accuracy, round=1)

    old, dear, cheap, new = scored("a", 36, 0.5), scored("b", 48, 0.7), scored("c", 20, 0.6), scored("d", 40, 0.9)
    both = {old.architecture, dear.architecture}
    of_dear = (60 - 48) / 60 * (0.7 - 0.1)
    assert _rehearsed(PROBLEM, [old, dear, cheap, new], both) == pytest.approx(of_dear)  # `cheap` is better than `old`
    of_old = (48 - 36) / 60 * (0.5 - 0.1)
    assert _rehearsed(PROBLEM, [old, dear, new], both) == pytest.approx(of_dear + of_old)
    assert _rehearsed(PROBLEM, [old, cheap, new], {old.architecture}) is None  # nothing of it is left to compare


def test_without_lock_nothing_is_locked_and_without_rehearsal_nothing_scored_again() -> None:
    lab = TableLab()
    run(lab, lock=False)
    assert lab.locked == [frozenset()] * len(lab.locked)
    results = run(TableLab(), rehearse=False)
    assert all(r.rehearsed_hypervolume is None for r in results)
    fronts = [{e.architecture for e in r.state.front} for r in results]
    again = [{e.architecture for e in r.evaluations} for r in results[1:]]
    assert not all(old <= new for old, new in zip(fronts, again, strict=False))


def test_the_best_alone_hands_its_operations_on() -> None:
    for result in run(TableLab(), inherit_from="best"):
        best = result.state.front[-1].architecture
        assert [set(names) for names in result.state.inherited] == [set(names) for names in best.blocks]


def test_half_of_an_evolved_round_is_drawn_and_the_rest_varies_the_best() -> None:
    drawn = run(TableLab(), samples=10, max_rounds=1)[0]
    evolved = run(TableLab(), samples=20, max_rounds=1, sampling="evolution")[0]
    both = [e.architecture for e in evolved.evaluations]
    assert both[:11] == [e.architecture for e in drawn.evaluations]  # the last of them just below the window
    assert len(set(both)) == len(both) == 21
    best = sorted(evolved.evaluations[:11], key=lambda e: -e.accuracy)[:2]

    def changed(a: Architecture, b: Architecture) -> int:
        return sum(x != y for x, y in zip(a.blocks, b.blocks, strict=True))

    generation = both[11:15]
    assert all(30 <= e.macs <= 60 for e in evolved.evaluations[11:])
    assert sum(min(changed(child, e.architecture) for e in best) == 1 for child in generation) >= 2


def test_what_could_not_be_scored_is_not_varied_to_again() -> None:
    lab = table_lab.TableLab(oracle=lambda a: "not finite" if PROBLEM.table.cost(a) % 2 else 0.5)
    found = run(lab, samples=60, max_rounds=1, sampling="evolution")[0]
    assert found.failed
    assert len(lab.asked) == len(set(lab.asked))


def test_parents_are_of_the_budget_where_cheaper_networks_score_better(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def watched(evaluations: list[Evaluation], n: int, metric: str) -> list[Architecture]:
        seen.extend(e.macs for e in evaluations)
        return best(evaluations, n, metric)

    monkeypatch.setattr(spos, "best", watched)
    lab = table_lab.TableLab(oracle=lambda a: 1 / (1 + PROBLEM.table.cost(a)))
    found = run(lab, samples=20, max_rounds=1, sampling="evolution")[0]
    assert min(e.macs for e in found.evaluations) < 30 <= min(seen)


def test_only_what_the_space_still_holds_is_rehearsed() -> None:
    assert len(run(TableLab(), inherit_from="best")) == len(run(TableLab(prunes=True), lock=False)) == 3


def test_every_front_member_is_in_the_window_and_accuracy_rises() -> None:
    for result in run(TableLab()):
        costs = [e.macs for e in result.state.front]
        accuracies = [e.accuracy for e in result.state.front]
        assert all(30 <= c <= 60 for c in costs)
        assert costs == sorted(costs)
        assert accuracies == sorted(set(accuracies))


def test_resuming_from_a_stored_state_gives_the_same_rounds() -> None:
    whole = run(TableLab())
    stored = SearchState.from_json(whole[0].state.to_json())
    assert stored == whole[0].state
    again = run(TableLab(), stored)
    assert [r.state for r in again] == [r.state for r in whole[1:]]


def test_the_ledger_tells_of_every_active_operation() -> None:
    lab = TableLab()
    for result, (_, space, _) in zip(run(lab), lab.trained, strict=True):
        pairs = {(r.block, r.operation) for r in result.ledger if r.outcome != "postponed"}
        assert pairs == {(b, n) for b, names in enumerate(space.candidates) for n in names}
        kept = {(r.block, r.operation) for r in result.ledger if r.outcome == "kept"}
        assert kept == {(b, n) for b, names in enumerate(result.state.inherited) for n in names}


def test_an_extended_search_has_its_new_operations_last_and_as_many_more_rounds_as_they_need() -> None:
    """With K = 3 two operations a round, beside one that is inherited: the longest queue of five takes three rounds."""
    state = SearchState(round=4, rounds=6, inherited=(("a",), ("b",)), waiting=(("x",), ("y", "z", "w")))
    found = extended(state, (("new", "newer"), ("new", "newer")), 3)
    assert found == replace(state, waiting=(("x", "new", "newer"), ("y", "z", "w", "new", "newer")), rounds=4 + 3)


def test_what_is_sampled_just_below_the_window_keeps_the_further_limits_too() -> None:
    """Cheap operations have many parameters here: `op0` 20 and `op6` 14, beside 10 and 16 MACs."""
    given = problem("macs=33..36", blocks=2)
    parameters = CostTable(metric="params", fixed=0, ops=({name: 20 - i for i, name in enumerate(NAMES)},) * 2)
    made = replace(given, tables={**given.tables, "params": parameters}, limits={"params": 34})
    found, _ = sample(made, TableLab().train(1, made.full, "nse"), 480, np.random.default_rng(0))
    # Of two operations i and j an architecture has 5 + 20 + i + j MACs and 40 - i - j parameters: those just below the
    # window, of 29 to 32 MACs, have 36 to 33.
    kept = {(i, j) for i, j in itertools.product(range(7), repeat=2) if 6 <= i + j <= 11}
    assert {a.blocks for a in found} == {((f"op{i}",), (f"op{j}",)) for i, j in kept}
    assert len(found) == len(kept)
