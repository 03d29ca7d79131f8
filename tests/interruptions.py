"""Ends a search at a chosen moment, and tells what two run directories have in common."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import evospace.experiment
import evospace.runs.autosave
import evospace.score_book
import evospace.search_command
from evospace.cli import main
from evospace.estimation.shared_weights import SharedWeights
from evospace.estimation.trained_alone import TrainedAlone
from evospace.report.plan_lines import Forecast
from evospace.runs.database import RunDatabase
from evospace.runs.files import write_bytes

SEARCH = ["search", "--data", "digits", "--epochs", "2", "--samples", "5", "--max-rounds", "2", "--budget", "macs=0.3M"]
SEARCH += ["--calibration-batches", "1", "--batch-size", "256", "--candidates", "3"]

MOMENTS: tuple[tuple[Any, str], ...] = (
    (torch.optim.SGD, "step"),
    (torch.optim.Adam, "step"),
    (SharedWeights, "score"),
    (TrainedAlone, "score"),
    (RunDatabase, "add"),
    (RunDatabase, "add_scores"),
    (Path, "replace"),
    (Path, "unlink"),
    (os, "fsync"),
)
"""Between them a run does everything that it does; it can be ended before and after each."""
FORECAST = Forecast(first_round=1, active=(3, 3), train=(1.0, 1.0), score=(1.0, 1.0), other=1.0, memory=1)
"""How many steps a forecast times depends on the clock: it is left out of the moments that are counted."""


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """A search's pictures hold what they would be drawn of."""
    for name in ("draw_fronts", "draw_space"):
        patch.setattr(evospace.search_command, name, lambda path, *shown: write_bytes(path, repr(shown).encode()))


class Moments:
    """Counts the moments of a run and calls `act` at the one numbered `at`."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = -1, act: Callable[[], None] = lambda: None) -> None:
        self.count, self._at, self._act = 0, at, act
        for owner, name in MOMENTS:
            patch.setattr(owner, name, self._around(getattr(owner, name)))
        patch.setattr(evospace.experiment, "forecast", lambda *args, **kwargs: FORECAST)
        patch.setattr(evospace.runs.autosave, "SECONDS", 0.0)
        patch.setattr(evospace.score_book, "SECONDS", 0.0)

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            result = original(*args, **kwargs)
            self._pass()
            return result

        return wrapped

    def _pass(self) -> None:
        if self.count == self._at:
            self._act()
        self.count += 1


def content(run: Path) -> dict[str, Any]:
    """All that has to be the same, bit for bit, however often the run was ended; seconds alone may differ."""
    names = ["front.json", "fronts.png", "space.png", "config.yaml"]
    names += [str(path.relative_to(run)) for path in run.rglob("*.safetensors")]
    found: dict[str, Any] = {name: (run / name).read_bytes() for name in names if name != "config.yaml"}
    with sqlite3.connect(run / "run.db") as db:
        for table in ("rounds", "ledger", "evaluations", "scores"):
            found[table] = db.execute(f"SELECT * FROM {table}").fetchall()
    db.close()
    return found


def killed(at: int, out: Path) -> None:
    """Run a search in this process, which kills itself at moment `at`."""
    torch.set_num_threads(1)
    without_pictures(pytest.MonkeyPatch())
    Moments(pytest.MonkeyPatch(), at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    main([*SEARCH, "--out", str(out), "--resume"])


if __name__ == "__main__":
    killed(int(sys.argv[1]), Path(sys.argv[2]))
