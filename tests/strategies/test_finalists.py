"""The last round: who takes part in it, and that its scores alone make the front."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.space.architecture import Architecture
from evospace.strategies.contract import RoundResult, SearchSettings, SearchState
from evospace.strategies.finalists import FINALISTS, finalists, search_rounds, with_last, without_last
from evospace.strategies.nse import first_state
from evospace.strategies.queues import shuffled
from evospace.strategies.strategy import STRATEGIES
from evospace.workbench import finalist_share
from tests.strategies.table_lab import NAMES, TableLab, nearness, problem

ROOM = problem("macs=55..65")
HONOURING = sorted(name for name, strategy in STRATEGIES.items() if "finalist_epochs" in strategy.honours)


class TwiceScored(TableLab):
    """Whose finalists turn out in the opposite order."""

    def train_finalists(self, round: int, space, count: int):  # type: ignore[no-untyped-def]
        self.oracle = lambda architecture: 1.0 - nearness(architecture) / 2
        return super().train_finalists(round, space, count)


def search(name: str, lab: TableLab, state: SearchState | None = None, **settings: object) -> list[RoundResult]:
    given = SearchSettings(**({"samples": 30, "candidates": 3, "finalist_epochs": 2} | settings))  # type: ignore[arg-type]
    strategy = STRATEGIES[name]
    begun = first_state(shuffled(ROOM.full, 0), strategy.rounds(len(NAMES), given))
    return list(search_rounds(strategy, ROOM, given, lab, state or with_last(begun, given)))


@pytest.mark.parametrize("name", HONOURING)
def test_the_last_round_trains_the_best_of_the_one_before_and_its_scores_make_the_front(name: str) -> None:
    lab = TwiceScored(oracle=nearness)
    *own, last = search(name, lab, shrink_by="fitness")
    assert [r.state.round for r in (*own, last)] == list(range(1, len(own) + 2))
    assert {r.state.rounds for r in (*own, last)} == {last.state.round}
    rule, space, _ = lab.trained[-1]
    assert rule == f"finalists {len(last.evaluations)}"
    assert len(last.evaluations) == max(FINALISTS, len(own[-1].state.front))
    before = {e.architecture: e.accuracy for e in own[-1].evaluations if e.macs in ROOM.budget}
    chosen = {e.architecture for e in last.evaluations}
    assert {e.architecture for e in own[-1].state.front} <= chosen
    assert all(e.accuracy == 1.0 - nearness(e.architecture) / 2 for e in last.state.front)
    left_out = [accuracy for a, accuracy in before.items() if a not in chosen]
    taken = [accuracy for a, accuracy in before.items() if a in chosen - {m.architecture for m in own[-1].state.front}]
    assert not left_out or not taken or max(left_out) <= min(taken)
    used = [{n for a in chosen for n in a.blocks[b]} for b in range(len(space.candidates))]
    assert [set(names) for names in space.candidates] == used
    assert last.state.front[-1].accuracy == max(e.accuracy for e in last.evaluations)


def test_a_search_ended_before_its_last_round_goes_on_with_it_alone() -> None:
    *own, last = search("nse", TableLab(oracle=nearness))
    lab = TableLab(oracle=nearness, asked=[e.architecture for e in own[-1].evaluations])
    (again,) = search("nse", lab, own[-1].state)
    assert [rule for rule, *_ in lab.trained] == [f"finalists {len(last.evaluations)}"]
    assert again.state == last.state
    assert search("nse", lab, last.state) == []


def test_rounds_are_counted_with_the_last_one_and_may_end_before_it() -> None:
    results = search("nse", TableLab(oracle=nearness))
    assert results[-1].state.round == 4  # 7 operations, 3 at a time, at least one inherited: 3 rounds, and the last
    lab = TableLab(oracle=nearness)
    assert [r.state.round for r in search("nse", lab, stop_after=3)] == [1, 2, 3]
    assert {rule for rule, *_ in lab.trained} == {"nse"}
    assert len(search("nse", TableLab(oracle=nearness), stop_after=4)) == 4
    none = SearchSettings(finalist_epochs=0)
    state = first_state(shuffled(ROOM.full, 0), 3)
    assert with_last(state, none) == without_last(state, none) == state
    some = replace(none, finalist_epochs=1)
    assert without_last(with_last(state, some), some) == state


def test_the_front_comes_whole_and_best_first_and_nobody_from_outside_the_budget() -> None:
    made = [Architecture.of([[f"op{a}"], [f"op{b}"], ["op0"], ["op6"]]) for a in range(7) for b in range(7)]
    everything = [ROOM.evaluation(a, 0.5 + i / 100, 1) for i, a in enumerate(made)]
    inside = [e for e in everything if e.macs in ROOM.budget]
    assert 0 < len(inside) < len(everything)
    front = (inside[0], inside[3])
    chosen = finalists(ROOM, front, everything)
    assert chosen[:2] == [inside[3], inside[0]]
    assert chosen[2:] == list(reversed(inside))[: FINALISTS - 2]
    assert finalists(ROOM, tuple(inside), everything) == list(reversed(inside))


@given(
    epochs=st.integers(1, 50),
    batches=st.integers(1, 40),
    size=st.integers(1, 9),
    rest=st.integers(0, 8),
    count=st.integers(1, 12),
)
def test_finalists_share_their_epochs(epochs: int, batches: int, size: int, rest: int, count: int) -> None:
    images = batches * size + min(rest, size - 1)
    own, part = finalist_share(epochs, images, size, count)
    assert own >= 1
    assert size <= part <= images
    assert own == 1 or part == images
    assert part == images or part % size == 0
    used = count * own * part
    assert used <= epochs * images or (own, part) == (1, size)  # a batch each, however little they are given
    left = epochs * images - used
    assert left <= count * (images if part == images else size)


def test_shares_by_hand() -> None:
    assert finalist_share(1, 36_000, 128, 6) == (1, 46 * 128)
    assert finalist_share(20, 36_000, 128, 6) == (3, 36_000)
    assert finalist_share(1, 300, 128, 6) == (1, 128)
