"""One job of a study: search, retrain the best, test it once; each part goes on where it was ended."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evospace.config import SearchConfig
from evospace.devices import peak_bytes
from evospace.errors import CollapseError, EvospaceError
from evospace.plan import plan
from evospace.retraining.config import recipe_alone
from evospace.runs.files import write_json
from evospace.runs.front import Front, read_front
from evospace.runs.processes import alone_in
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.search_command import search
from evospace.study.directory import StudyDirectory, drop_large
from evospace.study.plan import Job, reference_of, scaled_epochs
from evospace.study.retrained import is_result, read_object, retrained_and_tested
from evospace.study.settings import StudySettings, again


@dataclass(frozen=True)
class DoJob:
    """Does a job of a study and stores what it came to, or the failure that is its result."""

    settings: StudySettings
    job: Job

    def __call__(self, folder: Path, signals: Signals) -> None:
        """Go on with it in its folder, to its end.

        Raises `InterruptedRunError` where a signal ends it, and errors that are no result: of disk, data, settings.
        """
        database = StudyDirectory(Path(self.settings.out)).database
        if self.job.key in database.done():  # another process has done it since the queue was made
            return
        torch.set_num_threads(self.settings.threads)
        result, failure = None, None
        with used(folder / "used.json") as sum_of_sittings:
            try:
                result = _result(self.settings, self.job, folder, signals)
            except EvospaceError as error:
                if not is_result(error, alone=self.settings.jobs == 1 and alone_in(folder)):
                    raise
                failure = str(error)
        database.add(self.job, result=None if failure else {**(result or {}), **sum_of_sittings}, failure=failure)
        drop_large(folder)


def _result(settings: StudySettings, job: Job, folder: Path, signals: Signals) -> dict[str, Any]:
    run = RunDirectory(folder / "run")
    config = replace(job.config, device=settings.device, out=str(run.path), resume=True)
    decided = _decided(settings, job, config, folder / "decided.json")
    config = replace(config, epochs=decided["epochs"])
    command = again(settings.kind, settings.out)
    signals.check(job.key, command)
    search(config, bare=True)
    signals.check(job.key, command)
    front = read_front(run.front)
    tested = retrained_and_tested(
        replace(
            recipe_alone(settings.recipe),
            network=f"{run.front}#{len(front.members) - 1}",  # the most accurate
            data_dir=settings.data_dir,
            epochs=settings.retrain_epochs,
            batch_size=settings.retrain_batch_size,
            lr=settings.retrain_lr,
            seed=job.seed,
            threads=settings.threads,
            device=settings.device,
            out=str(folder / "retrained"),
        )
    )
    return _searched(config, run, front, decided) | tested


def _decided(settings: StudySettings, job: Job, config: SearchConfig, path: Path) -> dict[str, Any]:
    """Epochs of each round; what was decided when the job began stays."""
    if path.exists():
        return read_object(path)
    decided: dict[str, Any] = {"epochs": config.epochs}
    if settings.equal == "seconds":
        decided |= _by_seconds(settings, job, config)
    write_json(path, decided)
    return decided


def _by_seconds(settings: StudySettings, job: Job, config: SearchConfig) -> dict[str, Any]:
    """Epochs per round that take as long as the reference's; the reference itself keeps its own, whatever the clock."""
    reference = reference_of(job, settings)
    if reference == job.config:
        return {}
    stored = StudyDirectory(Path(settings.out)).path / f"seconds-n{job.operations}-x{job.length}-s{job.seed}.json"
    if not stored.exists():
        seconds = _estimated(replace(reference, device=settings.device))
        if not stored.exists():  # another job may have stored its estimate meanwhile: the first serves all
            write_json(stored, {"seconds": seconds})
    own, other = _estimated(config), float(read_object(stored)["seconds"])
    epochs = scaled_epochs(config.epochs, own, other)
    return {"epochs": epochs, "estimated_seconds": own, "estimated_reference_seconds": other}


def _estimated(config: SearchConfig) -> float:
    """Seconds of training, the least of two estimates; 0 where no supernet is trained.

    Raises `CollapseError` where none can be made, which is the job's result: seconds unknown are not equal seconds.
    """
    seconds = []
    for _ in range(2):
        told = plan(config)[1]
        if reason := told.get("no_forecast"):
            raise CollapseError(f"equal seconds: those of {config.strategy} cannot be estimated: {reason}")
        seconds.append(float(told.get("train_seconds", 0.0)))
    return min(seconds)


def _searched(config: SearchConfig, run: RunDirectory, front: Front, decided: Mapping[str, Any]) -> dict[str, Any]:
    """What the search came to, from what it stored."""
    summaries, best = run.database.summaries(), front.members[-1]
    return {
        "score": best.accuracy,
        "front": len(front.members),
        "rounds": len(summaries),
        "epochs": config.epochs,
        "images": sum(s.get("images", 0) for s in summaries),  # none where no supernet is trained
        "scored": sum(len(run.database.evaluations(s["round"])) for s in summaries),
        "train_seconds": sum(s["train_seconds"] for s in summaries),
        "score_seconds": sum(s["score_seconds"] for s in summaries),
        "architecture": best.architecture.to_json(),
        "decided": dict(decided),
    }


@contextmanager
def used(path: Path) -> Iterator[dict[str, Any]]:
    """Yields an object that is filled, and stored, at the end: seconds and peak memory over all sittings of a job."""
    before = read_object(path) if path.exists() else {}
    start, cpu = time.monotonic(), time.process_time()
    total: dict[str, Any] = {}
    try:
        yield total
    finally:
        total["wall_seconds"] = before.get("wall_seconds", 0.0) + time.monotonic() - start
        total["cpu_seconds"] = before.get("cpu_seconds", 0.0) + time.process_time() - cpu
        for name, peak in (("peak_bytes", peak_bytes()), ("peak_gpu_bytes", _peak_gpu_bytes())):
            total[name] = max(before.get(name, 0), peak)
        write_json(path, total)


def _peak_gpu_bytes() -> int:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
