"""Scores that are stored are used only as far as they are those of the same architectures, in order."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from evospace.estimation.shared_weights import SharedWeights
from evospace.lab import SupernetLab
from evospace.report.progress import Progress, console
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.space.architecture import Architecture
from evospace.workbench import Workbench

A, B, C = (Architecture.of([[name]]) for name in "abc")


class Counts:
    """Scores an architecture by how many were scored before it."""

    def __init__(self) -> None:
        self.scored: list[Architecture] = []

    def score(self, architecture: Architecture) -> float:
        self.scored.append(architecture)
        return float(len(self.scored))


def lab(path: Path) -> SupernetLab:
    run = RunDirectory(path)
    run.database.create()
    bench = cast(Workbench, SimpleNamespace(config=SimpleNamespace(seed=0)))
    progress = Progress(console(), rounds=1, epochs=1)
    return SupernetLab(bench=bench, run=run, progress=progress, board=cast(Any, None), signals=Signals())


def test_scoring_goes_on_after_the_stored_ones_and_begins_anew_where_they_differ(tmp_path: Path) -> None:
    work = lab(tmp_path)
    work.run.database.add_scores(1, 0, [(A, 0.5), (B, "not finite")])
    counts = Counts()
    assert work._scores(1, cast(SharedWeights, counts), [A, B, C]) == [0.5, "not finite", 1.0]
    assert counts.scored == [C]
    # B and C are stored, but not in these places: only A's score stands.
    counts = Counts()
    assert work._scores(1, cast(SharedWeights, counts), [A, C, B]) == [0.5, 1.0, 2.0]
    assert counts.scored == [C, B]
    assert work.run.database.scores(1) == [(A, 0.5), (C, 1.0), (B, 2.0)]
