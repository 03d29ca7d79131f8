"""`study.db`: one SQLite file, a row for each job that is finished. Several processes write, in short transactions."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import DataError, DiskError
from evospace.study.plan import Job

FORMAT = 1
WAIT_SECONDS = 60
"""For another process to finish its transaction."""
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

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        if not write and not self._path.exists():
            raise DataError(f"{self._path}: is missing; give the folder of a study")
        try:
            mode = "rwc" if write else "ro"
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if "full" not in str(error) and "disk I/O" not in str(error):
                raise DataError(f"{self._path}: cannot be read or written ({error})") from error
            text = f"cannot write {self._path}: {error}; every finished job is intact: free some space and go on"
            raise DiskError(text) from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self._path}: damaged, or no study database ({error}); restore it") from error

    def create(self) -> None:
        """Make the table, where it is not there yet."""
        with self._open(write=True) as db:
            db.execute(_TABLE)
            db.execute(f"PRAGMA user_version = {FORMAT}")

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
            if db.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                raise DataError(f"{self._path}: not a study database of format {FORMAT}; give the folder of a study")
            rows = db.execute("SELECT * FROM jobs ORDER BY length, operations, variant, seed").fetchall()
        try:
            return {row[0]: _finished(row) for row in rows}
        except (ValueError, TypeError) as error:
            raise DataError(f"{self._path}: damaged ({error}); restore it") from error

    def done(self) -> set[str]:
        """Keys of the finished jobs."""
        with self._open() as db:
            return {key for (key,) in db.execute("SELECT key FROM jobs")}


def _finished(row: tuple[Any, ...]) -> Finished:
    key, variant, operations, length, seed, settings, result, failure = row
    return Finished(
        key=key,
        variant=variant,
        operations=operations,
        length=length,
        seed=seed,
        settings=json.loads(settings),
        result=None if result is None else json.loads(result),
        failure=failure,
    )
