"""The whole loop against a table oracle with a known optimum: no network, under a second."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.gates import initial_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, RoundResult, RuleName, SearchSettings, SearchState
from evospace.strategies.nse import evolve, first_state
from evospace.strategies.queues import default_rounds, shuffled

BLOCKS, POOL = 3, 7
NAMES = tuple(f"op{i}" for i in range(POOL))
FULL = SearchSpace((NAMES,) * BLOCKS, (False, True, False), "single")
COST = {name: 10 + i for i, name in enumerate(NAMES)}
TABLES = {m: CostTable(metric=m, fixed=5, ops=(COST,) * BLOCKS) for m in ("macs", "params")}
PROBLEM = Problem(full=FULL, tables=TABLES, budget=Budget.parse("macs=30..60"), classes=10)
SETTINGS = SearchSettings(candidates=3, samples=60)


def oracle(architecture: Architecture) -> float:
    """Every block's best operation is op4: accuracy falls with the distance from it."""
    gaps = [abs(int(names[0][2:]) - 4) if names else 5 for names in architecture.blocks]
    return 0.95 - 0.04 * sum(gaps)


@dataclass
class TableRound:
    space: SearchSpace
    probabilities: Sequence[np.ndarray]
    fitness: dict[tuple[int, str], float]
    pruned: Sequence[tuple[int, str, int]] = ()

    def score(self, architectures: Sequence[Architecture]) -> list[float]:
        assert all(a in self.space for a in architectures)
        return [oracle(a) for a in architectures]

    def turned(self) -> dict[tuple[int, str], tuple[float, float, float]]:
        raise NotImplementedError


@dataclass
class TableLab:
    active: list[SearchSpace] = field(default_factory=list)
    locked: list[frozenset[tuple[int, str]]] = field(default_factory=list)
    prunes: bool = False
    """Whether each round drops its first operation, wherever that is not locked."""

    def train(
        self,
        round: int,
        space: SearchSpace,
        rule: RuleName,
        *,
        locked: frozenset[tuple[int, str]] = frozenset(),
        go_on: bool = False,
    ) -> TableRound:
        assert (rule, go_on) == ("nse", False)
        self.active.append(space)
        self.locked.append(locked)
        fitness = {(b, n): 0.0 for b, names in enumerate(space.candidates) for n in names}
        weak = [pair for pair in list(fitness)[:1] if self.prunes and pair not in locked]
        left = space.without(weak)
        return TableRound(left, initial_probabilities(left), fitness, [(*pair, 0) for pair in weak])

    def train_alone(self, round: int, space: SearchSpace) -> TableRound:
        raise NotImplementedError


def run(lab: TableLab, state: SearchState | None = None, **changes: object) -> list[RoundResult]:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    return list(
        evolve(PROBLEM, settings, lab, state or first_state(shuffled(FULL.candidates, 0), default_rounds(POOL, 3)))
    )


def test_the_known_optimum_is_found_and_everything_was_traversed() -> None:
    lab = TableLab()
    results = run(lab)
    assert results[-1].state.front[-1].accuracy == pytest.approx(0.95)
    assert results[-1].state.front[-1].architecture == Architecture.of([["op4"]] * BLOCKS)
    for b in range(BLOCKS):
        assert {n for space in lab.active for n in space.candidates[b]} == set(NAMES)
    assert results[-1].state.waiting == ((),) * BLOCKS
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
    drawn = run(TableLab(), samples=10, stop_after=1)[0]
    evolved = run(TableLab(), samples=20, stop_after=1, sampling="evolution")[0]
    both = [e.architecture for e in evolved.evaluations]
    assert both[:11] == [e.architecture for e in drawn.evaluations]  # the last of them just below the window
    assert len(set(both)) == len(both) == 21
    best = sorted(evolved.evaluations[:11], key=lambda e: -e.accuracy)[:2]

    def changed(a: Architecture, b: Architecture) -> int:
        return sum(x != y for x, y in zip(a.blocks, b.blocks, strict=True))

    generation = both[11:15]
    assert all(30 <= e.macs <= 60 for e in evolved.evaluations[11:])
    assert sum(min(changed(child, e.architecture) for e in best) == 1 for child in generation) >= 2


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
    for result, space in zip(run(lab), lab.active, strict=True):
        pairs = {(r.block, r.operation) for r in result.ledger if r.outcome != "postponed"}
        assert pairs == {(b, n) for b, names in enumerate(space.candidates) for n in names}
        kept = {(r.block, r.operation) for r in result.ledger if r.outcome == "kept"}
        assert kept == {(b, n) for b, names in enumerate(result.state.inherited) for n in names}
