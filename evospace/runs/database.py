"""`run.db`: one SQLite file with the rounds, the ledger and every evaluation. One writer, any readers."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evospace.errors import DataError
from evospace.strategies.ledger import LedgerRow
from evospace.strategies.space_evolution import EvolutionState, RoundResult

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rounds (round INTEGER PRIMARY KEY, state TEXT NOT NULL, summary TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (round INTEGER NOT NULL, block INTEGER NOT NULL, operation TEXT NOT NULL,
  row TEXT NOT NULL, PRIMARY KEY (round, block, operation, row));
CREATE TABLE IF NOT EXISTS evaluations (round INTEGER NOT NULL, position INTEGER NOT NULL,
  architecture TEXT NOT NULL, macs INTEGER NOT NULL, params INTEGER NOT NULL, accuracy REAL NOT NULL,
  found INTEGER NOT NULL, PRIMARY KEY (round, position));
"""


class RunDatabase:
    """A round is stored whole, in one transaction, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            with connection:
                connection.executescript(_SCHEMA)
                yield connection
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self._path}: cannot be read or written ({error})") from error
        finally:
            connection.close()

    def add(self, result: RoundResult) -> None:
        """Store a finished round."""
        number = result.state.round
        with self._open() as db:
            db.executemany(
                "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (number, i, json.dumps(e.architecture.to_json()), e.macs, e.params, e.accuracy, e.round)
                    for i, e in enumerate(result.evaluations)
                ],
            )
            db.executemany(
                "INSERT INTO ledger VALUES (?, ?, ?, ?)",
                [(number, r.block, r.operation, json.dumps(r.to_json())) for r in result.ledger],
            )
            state, summary = json.dumps(result.state.to_json()), json.dumps(result.summary)
            db.execute("INSERT INTO rounds VALUES (?, ?, ?)", (number, state, summary))

    def states(self) -> list[EvolutionState]:
        """The state after each finished round, in order."""
        with self._open() as db:
            rows = db.execute("SELECT state FROM rounds ORDER BY round").fetchall()
        return [EvolutionState.from_json(json.loads(text)) for (text,) in rows]

    def summaries(self) -> list[dict[str, Any]]:
        """The summary of each finished round, in order."""
        with self._open() as db:
            rows = db.execute("SELECT summary FROM rounds ORDER BY round").fetchall()
        return [json.loads(text) for (text,) in rows]

    def ledger(self) -> list[LedgerRow]:
        """Every row, by round and block."""
        with self._open() as db:
            rows = db.execute("SELECT row FROM ledger ORDER BY round, block, rowid").fetchall()
        return [LedgerRow.from_json(json.loads(text)) for (text,) in rows]

    def evaluations(self, round: int) -> list[tuple[str, int, int, float]]:
        """(architecture as JSON, macs, params, accuracy) of everything scored in one round."""
        with self._open() as db:
            return db.execute(
                "SELECT architecture, macs, params, accuracy FROM evaluations WHERE round = ? ORDER BY position",
                (round,),
            ).fetchall()
