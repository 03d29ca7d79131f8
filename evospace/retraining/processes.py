"""Several trainings at a time, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from evospace.errors import EvospaceError, InterruptedRunError, printable
from evospace.retraining.config import RetrainConfig
from evospace.runs.retrain_directory import Job
from evospace.runs.signals import Signals

POLL_SECONDS = 0.2
"""How soon a signal is passed on to the trainings."""


def run_in_processes(
    config: RetrainConfig, root: Path, jobs: Sequence[tuple[int, int]], say: Callable[[str], None]
) -> int:
    """Train (network index, seed) pairs, `config.jobs` at a time; one that fails does not stop the others.

    Returns how many failed; each has told its error. Raises `InterruptedRunError` where a signal ended them.
    """
    waiting, running, failed = list(jobs), dict[int, BaseProcess](), 0
    context = multiprocessing.get_context("spawn")
    with Signals() as signals, _ended_at_last(running):
        while waiting or running:
            while waiting and len(running) < config.jobs and not signals.ending:
                index, seed = waiting.pop(0)
                name = Job(root, index, seed).name
                begun = context.Process(target=_one, args=(config, root, (index, seed)), name=name)
                with _deaf_to_ctrl_c():
                    begun.start()
                running[begun.sentinel] = begun
            for sentinel in wait(list(running), timeout=POLL_SECONDS):
                assert isinstance(sentinel, int)
                process = running.pop(sentinel)
                process.join()
                failed += process.exitcode != 0
                if (process.exitcode or 0) < 0:
                    say(f"{process.name} was killed by signal {-(process.exitcode or 0)}")
            if signals.ending:
                signals.check("the queue", f"evospace retrain --out {root} --resume")
            elif signals.take_save():
                for process in running.values():
                    os.kill(process.pid or 0, signal.SIGUSR1)
    return failed


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started inside leaves Ctrl-C, which reaches every process of a terminal, to its parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ended_at_last(running: Mapping[int, BaseProcess]) -> Iterator[None]:
    """Whatever ends the queue, a second Ctrl-C too, no training goes on without it: they are deaf to Ctrl-C."""
    try:
        yield
    finally:
        _end(running.values())


def _end(processes: Iterable[BaseProcess]) -> None:
    """Let each finish its step and save."""
    for process in processes:
        process.terminate()  # SIGTERM, which a training takes as a request
    for process in processes:
        process.join()


def _one(config: RetrainConfig, root: Path, job: tuple[int, int]) -> None:
    """The child: prepares the same work from the same settings, trains one of its jobs, and tells errors in a line."""
    from evospace.retraining.job import train_job
    from evospace.retraining.work import prepare

    torch.set_num_threads(config.threads)
    try:
        with Signals() as signals:
            train_job(prepare(config), Job(root, *job), signals, lambda text: print(text, flush=True))
    except InterruptedRunError as error:
        os._exit(error.exit_code)
    except EvospaceError as error:
        print(f"evospace: error: {Job(root, *job).name}: {printable(error)}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
