import sqlite3
from pathlib import Path

import pytest

from evospace.errors import DataError
from evospace.estimation.evaluation import Evaluation
from evospace.runs.database import RunDatabase
from evospace.space.architecture import Architecture
from evospace.strategies.ledger import LedgerRow
from evospace.strategies.queues import Queues
from evospace.strategies.space_evolution import EvolutionState, RoundResult


def result(number: int) -> RoundResult:
    member = Evaluation(architecture=Architecture.of([["a"]]), macs=1, params=2, accuracy=0.5, round=number)
    row = LedgerRow(
        round=number, block=0, operation="a", inherited=False, fitness=0.1, outcome="kept", reason="r", front=(0,)
    )
    state = EvolutionState(round=number, inherited=(("a",),), waiting=(("b",),), front=(member,))
    queues = Queues(inherited=((),), fresh=(("a",),), waiting=(("b",),))
    return RoundResult(
        state=state,
        queues=queues,
        evaluations=(member, member),
        ledger=(row,),
        hypervolume=0.2,
        rehearsed_hypervolume=None,
        summary={"round": number},
    )


def test_rounds_read_back_as_they_were(tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.add(result(1))
    database.add(result(2))
    assert database.states() == [result(1).state, result(2).state]
    assert database.ledger() == [*result(1).ledger, *result(2).ledger]
    assert [s["round"] for s in database.summaries()] == [1, 2]
    assert database.evaluations(2) == [('[["a"]]', 1, 2, 0.5)] * 2


def test_a_round_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    database = RunDatabase(path)
    database.add(result(1))
    with pytest.raises(DataError):
        database.add(result(1))
    with sqlite3.connect(path) as connection:
        counts = [connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("ledger", "evaluations")]
    connection.close()
    assert counts == [1, 2]


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"not a database, only text" * 100)
    with pytest.raises(DataError, match=r"run\.db"):
        RunDatabase(path).states()
