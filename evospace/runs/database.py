"""`run.db`: one SQLite file with the rounds, the ledger and every evaluation. One writer, any readers."""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from evospace.errors import DataError
from evospace.runs.files import replace_file
from evospace.runs.sqlite_file import opened
from evospace.space.architecture import Architecture
from evospace.strategies.contract import RoundResult, SearchState
from evospace.strategies.ledger import LedgerRow

FORMAT = 3
_INTACT = "every finished round is intact: free some space and go on with --resume"
_MEND = "; its search's --resume goes on from the copy of its last round, run-previous.db"
_TABLES = {
    "rounds": "round INTEGER PRIMARY KEY, state TEXT NOT NULL, summary TEXT NOT NULL, evaluations INTEGER NOT NULL,"
    " ledger INTEGER NOT NULL",
    "ledger": "round INTEGER NOT NULL, block INTEGER NOT NULL, operation TEXT NOT NULL, row TEXT NOT NULL",
    "evaluations": "round INTEGER NOT NULL, position INTEGER NOT NULL, architecture TEXT NOT NULL, macs INTEGER,"
    " params INTEGER, latency INTEGER, accuracy REAL, found INTEGER, failure TEXT",
    "scores": "round INTEGER NOT NULL, position INTEGER NOT NULL, architecture TEXT NOT NULL, accuracy REAL,"
    " failure TEXT",
}
"""`scores` holds what a round under way has scored so far; it becomes `evaluations` when the round ends. Every row
ends with a checksum over its other values. Latencies are nanoseconds, null without a latency table."""
_TIMINGS = "CREATE TABLE IF NOT EXISTS timings (round INTEGER, phase TEXT, seconds REAL, PRIMARY KEY (round, phase))"
_WIDTH = {"rounds": 5, "ledger": 4, "evaluations": 9, "scores": 5}


def checksum(row: Sequence[Any]) -> int:
    """CRC-32 of a row's values: every single flipped bit changes it."""
    return zlib.crc32(json.dumps(list(row)).encode())


class RunDatabase:
    """A round is stored whole, in one transaction, or not at all. Seconds are apart: they alone differ between runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def previous(self) -> Path:
        """A copy made at the end of every round, used where the database itself turns out to be damaged."""
        return self._path.with_name("run-previous.db")

    def _open(self, *, write: bool = False, mend: str = _MEND) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, write=write, what="run database", intact=_INTACT, mend=mend)

    def create(self) -> None:
        """Make what is missing of an empty database, and its copy."""
        with self._open(write=True) as db:
            for name, columns in _TABLES.items():
                db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}, checksum INTEGER NOT NULL)")
            db.execute("CREATE INDEX IF NOT EXISTS evaluations_of_round ON evaluations (round, position)")
            db.execute(_TIMINGS)
            db.execute(f"PRAGMA user_version = {FORMAT}")
        self._copy(self.previous)

    def add(self, result: RoundResult) -> None:
        """Store a finished round."""
        number = result.state.round
        with self._open(write=True) as db:
            _insert(db, "evaluations", _evaluation_rows(result))
            ledger = [(number, r.block, r.operation, json.dumps(r.to_json())) for r in result.ledger]
            _insert(db, "ledger", ledger)
            state, summary = json.dumps(result.state.to_json()), json.dumps(result.summary)
            count = len(result.evaluations) + len(result.failed)
            _insert(db, "rounds", [(number, state, summary, count, len(ledger))])
            db.execute("DELETE FROM scores")
        self._copy(self.previous)

    def _copy(self, path: Path) -> None:
        def copy(temporary: Path) -> None:
            with self._open() as db, closing(sqlite3.connect(temporary)) as target:
                db.backup(target)

        replace_file(path, copy, self._path.stat().st_size)

    def copy_extended(self, path: Path, state: SearchState) -> None:
        """Copy the database to `path`, up to the round of `state` and with that after it; this one is only read.

        A search that still goes on may have finished more rounds since `state` was read.
        """
        self._copy(path)
        copy = RunDatabase(path)
        with copy._open(write=True) as db:
            query = "SELECT summary, evaluations, ledger FROM rounds WHERE round = ?"
            rest = db.execute(query, (state.round,)).fetchone()
            db.execute("DELETE FROM rounds WHERE round >= ?", (state.round,))
            for table in ("evaluations", "ledger", "timings"):
                db.execute(f"DELETE FROM {table} WHERE round > ?", (state.round,))
            _insert(db, "rounds", [(state.round, json.dumps(state.to_json()), *rest)])
            db.execute("DELETE FROM scores")
        copy._copy(copy.previous)

    def add_scores(self, round: int, first: int, scores: Sequence[tuple[Architecture, float | str]]) -> None:
        """Store what was scored of a round under way, from position `first` on."""
        rows = [
            (round, first + i, json.dumps(a.to_json()), *((None, s) if isinstance(s, str) else (s, None)))
            for i, (a, s) in enumerate(scores)
        ]
        with self._open(write=True) as db:
            db.execute("DELETE FROM scores WHERE round != ? OR position >= ?", (round, first))
            _insert(db, "scores", rows)

    def scores(self, round: int) -> list[tuple[Architecture, float | str]]:
        """What was scored of a round under way, in order."""
        with self._open() as db:
            rows = db.execute(
                "SELECT architecture, accuracy, failure FROM scores WHERE round = ? ORDER BY position", (round,)
            ).fetchall()
        return [
            (Architecture.from_json(json.loads(text)), accuracy if failure is None else failure)
            for text, accuracy, failure in rows
        ]

    def add_seconds(self, round: int, phase: str, seconds: float) -> None:
        """Add to the time spent on `train` or `score` in a round; a resumed run adds to what it had spent before."""
        with self._open(write=True) as db:
            db.execute(
                "INSERT INTO timings VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds",
                (round, phase, seconds),
            )

    def states(self) -> list[SearchState]:
        """The state after each finished round, in order."""
        with self._decoding():
            return [SearchState.from_json(json.loads(text)) for (text,) in self._all("SELECT state FROM rounds")]

    def summaries(self) -> list[dict[str, Any]]:
        """The summary of each finished round, in order, with the seconds it took."""
        with self._decoding():
            summaries = [json.loads(text) for (text,) in self._all("SELECT summary FROM rounds")]
        seconds = {(r, phase): s for r, phase, s in self._all("SELECT round, phase, seconds FROM timings")}
        for s in summaries:
            s.update({f"{phase}_seconds": seconds.get((s["round"], phase), 0.0) for phase in ("train", "score")})
        return summaries

    def ledger(self) -> list[LedgerRow]:
        """Every row, by round and block."""
        rows = self._all("SELECT row FROM ledger ORDER BY round, block, rowid")
        with self._decoding():
            return [LedgerRow.from_json(json.loads(text)) for (text,) in rows]

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self._path}: damaged ({type(error).__name__}: {error})") from error

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        with self._open() as db:
            return db.execute(query).fetchall()

    def evaluations(self, round: int) -> list[tuple[str, int, int, float]]:
        """(architecture as JSON, macs, params, accuracy) of everything scored in one round."""
        with self._open() as db:
            return db.execute(
                "SELECT architecture, macs, params, accuracy FROM evaluations WHERE round = ? AND failure IS NULL"
                " ORDER BY position",
                (round,),
            ).fetchall()

    def check(self) -> None:
        """Raise `DataError` unless the file is whole: its structure, every row's checksum, no row missing."""
        with self._open(mend="") as db:  # who checks it mends it
            if db.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                raise DataError(f"{self._path}: not a run database of format {FORMAT}")
            if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise DataError(f"{self._path}: damaged (its structure is broken)")
            for name, width in _WIDTH.items():
                for row in db.execute(f"SELECT * FROM {name}"):
                    if len(row) != width + 1 or checksum(row[:width]) != row[width]:
                        raise DataError(f"{self._path}: damaged (a row of {name} does not fit its checksum)")
            for name in ("evaluations", "ledger"):
                missing = db.execute(
                    f"SELECT round FROM rounds WHERE {name} !="
                    f" (SELECT COUNT(*) FROM {name} AS t WHERE t.round = rounds.round)"
                ).fetchone()
                if missing:
                    raise DataError(f"{self._path}: damaged (rows of {name} of round {missing[0]} are missing)")


def _insert(db: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    marks = ", ".join("?" * (_WIDTH[table] + 1))
    db.executemany(f"INSERT INTO {table} VALUES ({marks})", [(*row, checksum(row)) for row in rows])


def _evaluation_rows(result: RoundResult) -> list[tuple[Any, ...]]:
    number = result.state.round
    scored = [
        (number, i, json.dumps(e.architecture.to_json()), e.macs, e.params, e.latency, e.accuracy, e.round, None)
        for i, e in enumerate(result.evaluations)
    ]
    failed = [
        (number, len(scored) + i, json.dumps(a.to_json()), None, None, None, None, None, reason)
        for i, (a, reason) in enumerate(result.failed)
    ]
    return [*scored, *failed]
