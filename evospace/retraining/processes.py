"""Several trainings at a time, each in a process of its own."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from evospace.errors import EvospaceError, InterruptedRunError, UsageError, printable
from evospace.retraining.config import RetrainConfig
from evospace.runs.signals import Signals

POLL_SECONDS = 0.2
"""How soon a signal is passed on to the trainings."""


def run_in_processes(
    config: RetrainConfig, root: Path, jobs: Sequence[tuple[int, int]], say: Callable[[str], None]
) -> None:
    """Train (network index, seed) pairs, `config.jobs` at a time; one that fails does not stop the others.

    Raises `InterruptedRunError` where a signal ended them, and `UsageError` where some failed: their own errors have
    been printed.
    """
    waiting, running, failed = list(jobs), dict[int, BaseProcess](), 0
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // config.jobs)
    with Signals() as signals:
        while waiting or running:
            while waiting and len(running) < config.jobs and not signals.ending:
                begun = context.Process(target=_one, args=(config, root, waiting.pop(0), threads))
                begun.start()
                running[begun.sentinel] = begun
            for sentinel in wait(list(running), timeout=POLL_SECONDS):
                assert isinstance(sentinel, int)
                process = running.pop(sentinel)
                process.join()
                failed += process.exitcode != 0
            if signals.ending:
                _end(running.values())
                signals.check("the queue", f"evospace retrain --out {root} --resume")
    if failed:
        raise UsageError(f"{failed} of {len(jobs)} trainings failed (see above); the others are stored in {root}")


def _end(processes: Iterable[BaseProcess]) -> None:
    """Let each finish its step and save."""
    for process in list(processes):
        process.terminate()  # SIGTERM, which a training takes as a request
        process.join()


def _one(config: RetrainConfig, root: Path, job: tuple[int, int], threads: int) -> None:
    """The child: prepares the same work from the same settings, trains one of its jobs, and tells errors in a line."""
    from evospace.retraining.job import train_job
    from evospace.retraining.work import prepare
    from evospace.runs.retrain_directory import Job

    torch.set_num_threads(threads)
    try:
        with Signals() as signals:
            train_job(prepare(config), Job(root, *job), signals, lambda text: print(text, flush=True))
    except InterruptedRunError as error:
        os._exit(error.exit_code)
    except EvospaceError as error:
        print(f"evospace: error: {printable(error)}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
