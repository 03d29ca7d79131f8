import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from evospace.errors import DataError, UsageError
from evospace.runs.lock import claimed
from evospace.study.database import StudyDatabase
from evospace.study.directory import StudyDirectory
from tests.study.made import a_job, result, settings


def test_results_and_failures_come_back_as_they_were_stored(tmp_path: Path) -> None:
    database = StudyDatabase(tmp_path / "study.db")
    database.create()
    job = a_job()
    failed = replace(job, seed=1)
    database.add(job, result=result(0.5))
    database.add(failed, failure="no network of the budget")
    database.add(job, result=result(0.9))  # the first stays
    found = database.finished()
    assert database.done() == {job.key, failed.key}
    assert found[job.key].result == result(0.5)
    assert found[job.key].settings == job.config.to_dict()
    assert found[failed.key].result is None
    assert found[failed.key].failure == "no network of the budget"


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    database = StudyDatabase(tmp_path / "study.db")
    database.create()
    jobs = [replace(a_job(), seed=seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: database.add(job, result=result(0.5)), jobs))
    assert len(database.done()) == 24


def test_what_is_no_study_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with pytest.raises(DataError, match="is missing"):
        StudyDatabase(path).finished()
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match="damaged, or no study database"):
        StudyDatabase(path).finished()
    path.unlink()
    sqlite3.connect(path).close()
    with pytest.raises(DataError, match="not a study database of format 1"):
        StudyDatabase(path).finished()


def test_a_database_of_another_format_is_neither_read_nor_written(tmp_path: Path) -> None:
    database = StudyDatabase(tmp_path / "study.db")
    database.create()
    database.create()
    with sqlite3.connect(tmp_path / "study.db") as db:
        db.execute("PRAGMA user_version = 7")
    for use in (database.create, database.done, database.finished):
        with pytest.raises(DataError, match="not a study database of format 1"):
            use()
    with sqlite3.connect(tmp_path / "study.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (7,)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("result", "5", "damaged"),
        ("result", "{}", "no number for top1, score"),
        ("result", '{"top1": "high"}', "no number for top1"),
        ("result", None, "neither a result nor a failure"),
        ("failure", "too", "neither a result nor a failure, or both"),
        ("operations", "many", "not whole numbers"),
        ("settings", "{", "damaged"),
    ],
)
def test_a_damaged_row_is_told_in_a_line(tmp_path: Path, column: str, value: str | None, said: str) -> None:
    database = StudyDatabase(tmp_path / "study.db")
    database.create()
    database.add(a_job(), result=result(0.5))
    with sqlite3.connect(tmp_path / "study.db") as db:
        db.execute(f"UPDATE jobs SET {column} = ?", (value,))
    with pytest.raises(DataError, match=said):
        database.finished()


def test_more_that_does_not_go_with_what_there_is_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    study = StudyDirectory(tmp_path / "study")
    first = settings(strategies="nse", operations="5", lengths="1", epochs=1, seeds=1, out=str(study.path))
    study.open(first, {})
    with pytest.raises(UsageError, match="more than 5 % off"):
        study.open(replace(first, operations="27", lengths="7"), {})  # 27 at length 1 is an epoch in seven rounds
    assert study.require() == first


def test_a_job_is_claimed_once(tmp_path: Path) -> None:
    with claimed(tmp_path / "job") as mine, claimed(tmp_path / "job") as other:
        assert (mine, other) == (True, False)
    with claimed(tmp_path / "job") as mine:
        assert mine


def test_a_folder_is_opened_again_for_the_same_study_and_for_more_of_it(tmp_path: Path) -> None:
    study = StudyDirectory(tmp_path / "study")
    first = settings(strategies="nse", seeds=1, out=str(study.path))
    study.open(first, {})
    study.open(replace(first, strategies="spos", seeds=2, jobs=4, minutes=8.0), {})
    stored = study.require()
    assert (stored.strategies, stored.seeds) == ("nse,spos", 2)
    assert stored.minutes == 0  # are of one call
    with pytest.raises(UsageError, match=r"lr: 0\.1 -> 0\.2; threads: 1 -> 2"):
        study.open(replace(first, lr=0.2, threads=2), {})
    with pytest.raises(UsageError, match="holds a study of space-size, not of ablation"):
        study.open(replace(first, kind="ablation"), {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no study"):
        StudyDirectory(tmp_path / "other").open(first, {})
    with pytest.raises(UsageError, match="holds no study"):
        StudyDirectory(tmp_path / "other").require()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        StudyDirectory(tmp_path / "file/study").open(first, {})
