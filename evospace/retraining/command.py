"""Trains networks, each with several seeds, as a queue of jobs that can be taken up again."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from evospace.devices import rng_devices
from evospace.errors import EvospaceError, InterruptedRunError, UsageError, printable
from evospace.retraining.config import NOT_PART_OF_THE_RESULT, RetrainConfig
from evospace.retraining.job import Say, first_weights, train_job
from evospace.retraining.processes import run_in_processes
from evospace.retraining.work import Retraining, prepare
from evospace.runs.network_file import save_description
from evospace.runs.retrain_directory import Job, open_retraining
from evospace.runs.signals import Signals
from evospace.runs.stored_settings import read_config
from evospace.settings_file import changed_settings


def retrain(config: RetrainConfig, say: Say = print) -> Path:
    """Train every network with every seed, going on where an earlier call was ended; returns the folder.

    Raises `EvospaceError` subclasses for everything a user can mend.
    """
    config = replace(config, threads=config.threads or max(1, torch.get_num_threads() // config.jobs))
    work = prepare(config)
    config = work.config
    old = read_config(work.root) if (work.root / "config.yaml").exists() else {}
    changed = changed_settings(RetrainConfig, old, config.to_dict(), NOT_PART_OF_THE_RESULT) if config.resume else None
    for index in work.networks:
        first_weights(work, Job(work.root, index, config.seed))  # what does not fit is told before a folder is made
    open_retraining(work.root, config.to_dict(), changed, work.contents)
    left = [job for job in work.jobs if job.result() is None]
    say(f"{len(work.networks)} network(s), {config.seeds} seed(s): {len(left)} of {len(work.jobs)} trainings to do")
    for index, described in work.networks.items():
        folder = Job(work.root, index, 0).network
        folder.parent.mkdir(exist_ok=True)
        if not folder.exists():
            save_description(folder, described, work.data_seed)
    if config.jobs > 1 and len(left) > 1:
        failed = run_in_processes(config, work.root, [(job.index, job.seed) for job in left], say)
    else:
        failed = _in_turn(work, left, say)
    if failed:
        raise UsageError(f"{failed} of {len(left)} trainings failed (see above); the others are stored in {work.root}")
    say(f"wrote {work.root}; test it with: evospace evaluate {shlex.quote(str(work.root))}")
    return work.root


def _in_turn(work: Retraining, jobs: Sequence[Job], say: Say) -> int:
    """Train one after the other; one that fails is told and does not stop the others. Returns how many failed."""
    failed, before = 0, torch.get_num_threads()
    torch.set_num_threads(work.config.threads)
    try:
        with Signals() as signals, torch.random.fork_rng(devices=rng_devices(work.device)):
            for job in jobs:
                try:
                    train_job(work, job, signals, say)
                except InterruptedRunError:
                    raise
                except EvospaceError as error:
                    if len(jobs) == 1:
                        raise
                    print(f"evospace: error: {job.name}: {printable(error)}", file=sys.stderr)
                    failed += 1
    finally:
        torch.set_num_threads(before)
    return failed
