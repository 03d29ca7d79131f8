"""Trains networks, each with several seeds, as a queue of jobs that can be taken up again."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from evospace.devices import rng_devices
from evospace.errors import EvospaceError, InterruptedRunError, UsageError, printable
from evospace.reading import is_there
from evospace.retraining.config import NOT_PART_OF_THE_RESULT, RetrainConfig
from evospace.retraining.job import Say, first_weights, train_job
from evospace.retraining.work import Retraining, prepare
from evospace.runs.contents import require_contents
from evospace.runs.lock import claimed
from evospace.runs.network_file import save_description
from evospace.runs.processes import Queue, error_of
from evospace.runs.retrain_directory import Job, open_retraining
from evospace.runs.signals import Signals, before_anything
from evospace.runs.stored_settings import read_config, retrain_again
from evospace.settings_file import changed_settings


def retrain(config: RetrainConfig, say: Say = print) -> Path:
    """Train every network with every seed, going on where an earlier call was ended; returns the folder.

    Raises `EvospaceError` subclasses for everything a user can mend.
    """
    config = replace(config, threads=config.threads or max(1, torch.get_num_threads() // config.jobs))
    with before_anything(resumed=config.resume):
        work = prepare(config)
    config = work.config
    old = read_config(work.root) if is_there(work.root / "config.yaml") else {}
    changed = changed_settings(RetrainConfig, old, config.to_dict(), NOT_PART_OF_THE_RESULT) if config.resume else None
    for index in work.networks:
        first_weights(work, Job(work.root, index, config.seed))  # what does not fit is told before a folder is made
    open_retraining(work.root, config.to_dict(), changed, work.contents, work.origin.place)
    left = [job for job in work.jobs if job.result() is None]
    for doubt in work.doubts:
        print(f"evospace: {printable(doubt)}", file=sys.stderr)
    say(f"{len(work.networks)} network(s), {config.seeds} seed(s): {len(left)} of {len(work.jobs)} trainings to do")
    for index, described in work.networks.items():
        folder = Job(work.root, index, 0).network
        folder.parent.mkdir(exist_ok=True)
        if not folder.exists():
            save_description(folder, described, work.data_seed, work.origin)
    failed, taken = (_at_once if config.jobs > 1 and len(left) > 1 else _in_turn)(work, left, say)
    stored = f"; the others are stored in {work.root}"
    if failed:
        text = f"{len(failed)} of {len(left)} trainings failed (see above)"
        raise error_of(failed)(f"{text}{stored if len(failed) < len(left) else ''}")
    if taken := [job for job in taken if job.result() is None]:
        text = f"{len(taken)} of {len(left)} trainings are done by another process (the first: {taken[0].name})"
        raise UsageError(f"{text}; wait for it, or end it{stored}")
    ops = f" --ops {shlex.quote(config.ops)}" if config.ops else ""
    say(f"wrote {work.root}; test it with: evospace evaluate {shlex.quote(str(work.root))}{ops}")
    return work.root


@dataclass(frozen=True)
class _Train:
    """One training in a process of its own, which prepares the same work from the same settings."""

    config: RetrainConfig
    job: Job

    def __call__(self, folder: Path, signals: Signals) -> None:
        torch.set_num_threads(self.config.threads)
        work = prepare(self.config)
        require_contents(work.root, work.contents)  # front and images may have changed since the queue was made
        train_job(work, self.job, signals, lambda text: print(text, flush=True))


Ended = tuple[list[int], list[Job]]
"""Exit codes of the trainings that failed, each told already, and trainings that another process is at."""


def _at_once(work: Retraining, jobs: Sequence[Job], say: Say) -> Ended:
    """Train `config.jobs` at a time; one that fails does not stop the others."""
    failed = list[int]()

    def ended(name: str, code: int) -> None:
        if code:
            failed.append(code)
        if code < 0:
            say(f"{name} was killed by signal {-code}")

    queue = Queue(
        folder=work.root,
        jobs=work.config.jobs,
        module="evospace.retraining.command",
        logged=False,
        on_end=ended,
    )
    by_name = {job.name: job for job in jobs}
    works = {name: _Train(work.config, job) for name, job in by_name.items()}
    queue.run(works, "the queue", retrain_again(work.root))
    return failed, [by_name[name] for name in queue.taken]


def _in_turn(work: Retraining, jobs: Sequence[Job], say: Say) -> Ended:
    """Train one after the other; one that fails does not stop the others."""
    failed, taken, before = list[int](), list[Job](), torch.get_num_threads()
    torch.set_num_threads(work.config.threads)
    try:
        with Signals() as signals, torch.random.fork_rng(devices=rng_devices(work.device)):
            for job in jobs:
                with claimed(job.path) as ours:
                    if not ours:
                        taken.append(job)
                        continue
                    try:
                        train_job(work, job, signals, say)
                    except InterruptedRunError:
                        raise
                    except EvospaceError as error:
                        if len(jobs) == 1:
                            raise
                        print(f"evospace: error: {job.name}: {printable(error)}", file=sys.stderr)
                        failed.append(error.exit_code)
    finally:
        torch.set_num_threads(before)
    return failed, taken
