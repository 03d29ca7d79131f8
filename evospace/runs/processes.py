"""A queue of jobs, several at a time, each in a process of its own that starts with PyTorch loaded."""

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from evospace.errors import DataError, EvospaceError, InterruptedRunError, UsageError, printable
from evospace.runs.lock import LOCK, claimed
from evospace.runs.signals import Signals

POLL_SECONDS = 0.2
"""How soon a signal is passed on to the jobs."""
AGAIN_SECONDS = 10.0
"""A job that has not ended is asked again: what it was doing may have ended just then, and the next part begun."""
TAKEN = 75
"""Exit code of a job that another process is at (`EX_TEMPFAIL` of sysexits.h)."""
UNHEARD = 141
"""Exit code of a job whose output nobody reads any more, as a shell tells it of SIGPIPE."""
ASKED = frozenset({130, 143})
"""Exit codes of a job that was asked to end, and took the signal."""
LOG = "log.txt"

Work = Callable[[Path, Signals], None]
"""Does a job in its folder, in a process of its own; has to be picklable."""


@dataclass(kw_only=True)
class Queue:
    """What is left to do, and what became of what was begun."""

    folder: Path
    """Of a folder for each job, named by its key."""
    jobs: int
    seconds: float = 0.0
    """After which all are ended; 0: never."""
    module: str = ""
    """Loaded once, before the first job."""
    logged: bool = True
    """What a job prints goes to a log in its folder; else to where this process prints."""
    on_end: Callable[[str, int], None] = lambda key, code: None
    """Told the key and exit code of a job that has ended."""
    taken: list[str] = field(default_factory=list)
    """Keys that another process is at."""

    def run(self, works: Mapping[str, Work], what: str, again: str) -> bool:
        """Do the jobs, in order; returns whether all were begun and ended, rather than the time being up.

        Raises `InterruptedRunError`, which names `what` was interrupted and the command that does it `again`, where a
        signal ended them.
        """
        waiting, running, start = list(works), dict[int, tuple[str, BaseProcess]](), time.monotonic()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([self.module] if self.module else [])
        _start_server()
        with Signals() as signals, self._ended_at_last(running):
            while waiting or running:
                up = bool(self.seconds) and time.monotonic() - start > self.seconds
                while waiting and len(running) < self.jobs and not signals.ending and not up:
                    key = waiting.pop(0)
                    begun = context.Process(
                        target=_one, args=(works[key], key, self.folder / key, self.logged), name=key
                    )
                    begun.start()
                    running[begun.sentinel] = key, begun
                for sentinel in wait(list(running), timeout=POLL_SECONDS):
                    assert isinstance(sentinel, int)
                    self._ended(*running.pop(sentinel))
                if signals.ending or up:
                    self._end(running.values())
                    signals.check(what, again)
                    return False
                if signals.take_save():
                    for _, process in running.values():
                        os.kill(process.pid or 0, signal.SIGUSR1)
        return True

    @contextmanager
    def _ended_at_last(self, running: Mapping[int, tuple[str, BaseProcess]]) -> Iterator[None]:
        """Whatever ends the queue, an error or a second Ctrl-C too, no job goes on without it."""
        try:
            yield
        finally:
            _ask_to_end([process for _, process in running.values()])

    def _ended(self, key: str, process: BaseProcess) -> None:
        process.join()
        code = process.exitcode or 0
        if code == UNHEARD:
            raise BrokenPipeError
        if code == TAKEN:
            self.taken.append(key)
        else:
            self.on_end(key, code)

    def _end(self, running: Iterable[tuple[str, BaseProcess]]) -> None:
        """Let each finish its step and save."""
        ending = list(running)
        _ask_to_end([process for _, process in ending])
        for key, process in ending:
            self._ended(key, process)


def _ask_to_end(left: list[BaseProcess]) -> None:
    """Until all have ended."""
    while left:
        for process in left:
            process.terminate()  # SIGTERM, which a job takes as a request
        until = time.monotonic() + AGAIN_SECONDS
        for process in left:
            process.join(max(0.0, until - time.monotonic()))
        left = [process for process in left if process.is_alive()]


def _start_server() -> None:
    """Start what forks the jobs, deaf to SIGTERM: a whole process group may get one, and how jobs end is told by it.

    It hands its mask on, which `_one` takes off. The tracker of resources would take ours off where it began later.
    """
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def error_of(codes: Iterable[int]) -> type[EvospaceError]:
    """What to raise for jobs that ended with these exit codes: what all say, else something to mend."""
    kinds = {
        kind.exit_code: kind for kind in (EvospaceError, DataError)
    }  # a full disk and a collapse have no code more
    first, *others = set(codes)
    return UsageError if others else kinds.get(first, UsageError)


def alone_in(folder: Path) -> bool:
    """Whether no process holds the folder of another job beside `folder`, be it of this queue or another's."""
    for lock in folder.parent.glob(f"*/{LOCK}"):
        if lock.parent.name != folder.name:
            with lock.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
    return True


def _one(work: Work, key: str, folder: Path, logged: bool) -> None:
    """The child: one job; an error is told in a line, where its output goes to a log, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # reaches every process of a terminal; the parent asks by SIGTERM
    with Signals(quiet=True) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os._exit(_claimed_and_done(work, key, folder, logged, signals))


def _claimed_and_done(work: Work, key: str, folder: Path, logged: bool, signals: Signals) -> int:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    seen = os.dup(2)
    try:
        with claimed(folder) as ours:
            if not ours:
                return TAKEN
            if logged:
                with (folder / LOG).open("a", encoding="utf-8") as log:
                    os.dup2(log.fileno(), 1)
                    os.dup2(log.fileno(), 2)
            work(folder, signals)
        return 0
    except InterruptedRunError as error:
        return error.exit_code
    except BrokenPipeError:
        return UNHEARD
    except EvospaceError as error:
        os.write(seen, f"evospace: error: {key}: {printable(error)}\n".encode())
        return error.exit_code
    except BaseException as error:
        traceback.print_exc()
        where = f"in {folder / LOG}" if logged else "above"
        text = f"{key}: {type(error).__name__}: {error}; the traceback is {where}"
        os.write(seen, f"evospace: error: {printable(text)}\n".encode())
        return 1
    finally:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()


def _end_with_parent() -> None:
    """Where the process that leads the queue is gone, be asked as it would ask."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
