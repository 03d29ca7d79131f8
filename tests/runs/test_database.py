import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evospace.errors import DataError
from evospace.estimation.evaluation import Evaluation
from evospace.runs.database import RunDatabase
from evospace.runs.run_directory import RunDirectory
from evospace.space.architecture import Architecture
from evospace.strategies.contract import RoundResult, SearchState
from evospace.strategies.ledger import LedgerRow


def result(number: int) -> RoundResult:
    member = Evaluation(architecture=Architecture.of([["a"]]), macs=1, params=2, accuracy=0.5, round=number)
    row = LedgerRow(
        round=number, block=0, operation="a", inherited=False, fitness=0.1, outcome="kept", reason="r", front=(0,)
    )
    state = SearchState(round=number, rounds=9, inherited=(("a",),), waiting=(("b",),), front=(member,))
    return RoundResult(
        state=state,
        evaluations=(member, member),
        failed=((Architecture.of([["b"]]), "not finite"),),
        ledger=(row,),
        hypervolume=0.2,
        rehearsed_hypervolume=None,
        summary={"round": number},
    )


def test_rounds_read_back_as_they_were(tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    database.add(result(1))
    database.add(result(2))
    assert database.states() == [result(1).state, result(2).state]
    assert database.ledger() == [*result(1).ledger, *result(2).ledger]
    database.check()
    database.add_seconds(2, "train", 1.5)
    database.add_seconds(2, "train", 2.0)
    assert [s["train_seconds"] for s in database.summaries()] == [0.0, 3.5]
    assert [s["round"] for s in database.summaries()] == [1, 2]
    assert database.evaluations(2) == [('[["a"]]', 1, 2, 0.5)] * 2


def test_a_round_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    database = RunDatabase(path)
    database.create()
    database.add(result(1))
    with pytest.raises(DataError):
        database.add(result(1))
    with sqlite3.connect(path) as connection:
        counts = [connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("ledger", "evaluations")]
    connection.close()
    assert counts == [1, 3]


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"not a database, only text" * 100)
    with pytest.raises(DataError, match=r"run\.db: damaged, .*; its search's --resume goes on from"):
        RunDatabase(path).states()


def test_scores_of_a_round_under_way_go_on_and_end_with_it(tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    scores: list[tuple[Architecture, float | str]] = [(Architecture.of([["a"]]), 0.1), (Architecture.of([["b"]]), "no")]
    database.add_scores(1, 0, scores[:1])
    database.add_scores(1, 1, scores[1:])
    assert database.scores(1) == scores
    assert database.scores(2) == []
    database.add_scores(1, 0, scores[:1])
    assert database.scores(1) == scores[:1]
    database.add(result(1))
    assert database.scores(1) == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM evaluations WHERE position = 1",
        "DELETE FROM ledger",
        "UPDATE evaluations SET accuracy = 0.6 WHERE position = 1",
        "UPDATE ledger SET row = replace(row, 'kept', 'kopt')",
        "UPDATE rounds SET state = replace(state, '0.5', '0.6')",
        "PRAGMA user_version = 1",
    ],
)
def test_what_is_missing_or_changed_is_found(damage: str, tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    database.add(result(1))
    database.check()
    with sqlite3.connect(tmp_path / "run.db") as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(DataError, match=r"run\.db"):
        database.check()
    RunDatabase(database.previous).check()


READER = """
import sys
from pathlib import Path
from evospace.runs.database import RunDatabase
database, seen = RunDatabase(Path(sys.argv[1])), 0
while seen < 20:
    states = database.states()
    assert [s.round for s in states] == list(range(1, len(states) + 1)) and len(states) >= seen
    for s in states[-2:]:
        assert len(database.evaluations(s.round)) == 2
    database.check()
    seen = len(states)
"""


def test_eight_readers_see_whole_rounds_while_one_writes(tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(tmp_path / "run.db")], stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    for number in range(1, 21):
        database.add(result(number))
    for reader in readers:
        _, error = reader.communicate()
        assert reader.returncode == 0, error.decode()
    assert len(database.states()) == 20


KILLED_IN_COMMIT = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA cache_size = 1")  # pages are written before the commit, as in the middle of one
db.execute("DELETE FROM ledger")
db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
           " INSERT INTO scores SELECT 3, i, hex(zeroblob(2000)), 0.5, NULL, 0 FROM n")
os._exit(9)
"""


def killed_in_commit(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_IN_COMMIT, str(path)], check=False)
    assert Path(f"{path}-journal").stat().st_size > 0


def test_a_transaction_that_a_kill_left_half_written_is_taken_back_by_the_next_reader(tmp_path: Path) -> None:
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    database.add(result(1))
    killed_in_commit(tmp_path / "run.db")
    database.check()
    assert database.ledger() == list(result(1).ledger)
    database.add(result(2))
    assert [s.round for s in database.states()] == [1, 2]


def test_a_damaged_database_is_put_aside_with_its_journal(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.database.create()
    run.database.add(result(1))
    killed_in_commit(tmp_path / "run.db")
    (tmp_path / "run.db").write_bytes(b"no database")
    assert "run-damaged.db" in run.recover_database()
    assert not (tmp_path / "run.db-journal").exists()
    assert run.recover_database() == ""
    assert run.database.states() == [result(1).state]
    for path in (tmp_path / "run.db", run.database.previous):
        path.write_bytes(b"no database")
    with pytest.raises(DataError, match="nor is its copy of use") as caught:
        run.recover_database()
    assert "goes on from" not in str(caught.value)  # there is no copy to go on from


def test_a_sound_database_that_another_process_holds_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evospace.runs.sqlite_file.WAIT_SECONDS", 0.1)
    run = RunDirectory(tmp_path)
    run.database.create()
    run.database.add(result(1))
    other = sqlite3.connect(tmp_path / "run.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match="locked"):
        run.recover_database()
    other.close()
    assert not (tmp_path / "run-damaged.db").exists()
    assert run.recover_database() == ""


def test_an_extended_copy_ends_with_the_round_that_was_read(tmp_path: Path) -> None:
    """The search may have gone on since."""
    database = RunDatabase(tmp_path / "run.db")
    database.create()
    for number in (1, 2, 3):
        database.add(result(number))
        database.add_seconds(number, "train", 1.0)
    wanted = replace(result(2).state, waiting=(("b", "new"),))
    database.copy_extended(tmp_path / "copy.db", wanted)
    copy = RunDatabase(tmp_path / "copy.db")
    copy.check()
    assert copy.states() == [result(1).state, wanted]
    assert [row.round for row in copy.ledger()] == [1, 2]
    assert not copy.evaluations(3)
    assert [s["train_seconds"] for s in copy.summaries()] == [1.0, 1.0]
    assert len(database.states()) == 3
