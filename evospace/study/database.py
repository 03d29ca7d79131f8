"""`study.db`: one SQLite file, a row for each job that is finished. Several processes write, in short transactions."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import DataError
from evospace.runs.sqlite_file import opened
from evospace.study.plan import Job

FORMAT = 1
_SECONDS = ("train_seconds", "score_seconds", "retrain_seconds", "wall_seconds")
REPORTED = ("top1", "score", "images", *_SECONDS, "peak_bytes", "peak_gpu_bytes")
"""Numbers of a result that a report, or a line about the job, tells."""
_INTACT = "every finished job is intact: free some space and go on"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS jobs (key TEXT PRIMARY KEY, variant TEXT NOT NULL, operations INTEGER NOT NULL,"
    " length INTEGER NOT NULL, seed INTEGER NOT NULL, settings TEXT NOT NULL, result TEXT, failure TEXT)"
)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A job that came to a result, or failed in a way that is one."""

    key: str
    variant: str
    operations: int
    length: int
    seed: int
    settings: Mapping[str, Any]
    """Of its search."""
    result: Mapping[str, Any] | None = None
    """What docs/study.md lists; `None` where it failed."""
    failure: str | None = None
    """Why it failed, in a line."""


class StudyDatabase:
    """The finished jobs of a study; one that was interrupted has no row."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _open(self, *, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, write=write, what="study database", intact=_INTACT)

    def create(self) -> None:
        """Make the table, where it is not there yet; raises `DataError` for a database of something else."""
        with self._open(write=True) as db:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                self._require_format(db)
            db.execute(f"PRAGMA user_version = {FORMAT}")  # first: a table without it would be of something else
            db.execute(_TABLE)

    def _require_format(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            raise DataError(f"{self._path}: not a study database of format {FORMAT}; give the folder of a study")

    def add(self, job: Job, *, result: Mapping[str, Any] | None = None, failure: str | None = None) -> None:
        """Store what a job came to; the first result of a job stays."""
        settings = json.dumps(job.config.to_dict())
        stored = None if result is None else json.dumps(dict(result), allow_nan=False)
        row = (job.key, job.variant, job.operations, job.length, job.seed, settings, stored, failure)
        with self._open(write=True) as db:
            db.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def finished(self) -> dict[str, Finished]:
        """Every finished job by its key, by length, operations, variant and seed."""
        with self._open() as db:
            self._require_format(db)
            rows = db.execute("SELECT * FROM jobs ORDER BY length, operations, variant, seed").fetchall()
        try:
            return {row[0]: _finished(row) for row in rows}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{self._path}: damaged ({error}); restore it") from error

    def done(self) -> set[str]:
        """Keys of the finished jobs."""
        with self._open() as db:
            self._require_format(db)
            return {key for (key,) in db.execute("SELECT key FROM jobs")}


def _finished(row: tuple[Any, ...]) -> Finished:
    """A row; raises `ValueError` where it is none that `StudyDatabase.add` writes."""
    key, variant, operations, length, seed, settings, result, failure = row
    if not all(type(number) is int for number in (operations, length, seed)):
        raise ValueError(f"job {key!r:.80}: operations, length and seed are not whole numbers")
    if (result is None) == (failure is None):
        raise ValueError(f"job {key!r:.80}: neither a result nor a failure, or both")
    found = None if result is None else json.loads(result)
    if found is not None:
        missing = [name for name in REPORTED if type(found.get(name)) not in (int, float)]
        if missing:
            raise ValueError(f"job {key!r:.80}: no number for {', '.join(missing)}")
    return Finished(
        key=key,
        variant=variant,
        operations=operations,
        length=length,
        seed=seed,
        settings=json.loads(settings),
        result=found,
        failure=failure,
    )
