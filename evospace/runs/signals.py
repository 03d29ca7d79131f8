"""Signals end or save a run between two steps, never in the middle of one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from evospace.errors import InterruptedRunError

_NAMES = {"SIGINT": 130, "SIGTERM": 143}
"""Signals that end a run, with the exit code of each (128 + its number, as shells have it)."""


@contextmanager
def before_anything(*, resumed: bool = False) -> Iterator[None]:
    """Ctrl-C, while nothing is trained or written yet, ends a command in a line that says so.

    `resumed`: what it goes on with is there already.
    """
    try:
        yield
    except KeyboardInterrupt:
        text = "anything went on; all is as it was, go on with --resume" if resumed else "anything was begun"
        raise InterruptedRunError(f"interrupted before {text}", _NAMES["SIGINT"]) from None


class Signals:
    """A context manager that takes SIGINT, SIGTERM and SIGUSR1 while a run is under way.

    SIGINT (Ctrl-C) and SIGTERM end the run after the step that is being done; a second SIGINT ends it at once.
    SIGUSR1 (as SLURM sends before the time is up) saves and goes on. Outside the main thread, where Python allows no
    handlers, nothing changes; a signal that the process was started to ignore stays ignored.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """`quiet`: of a child, whose parent tells what is under way."""
        self._quiet = quiet
        self._exit_code: int | None = None
        self._save = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in (*_NAMES, "SIGUSR1"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name not in _NAMES:
            self._save = True
            return
        if name == "SIGINT" and self._exit_code is not None:
            raise KeyboardInterrupt
        self._exit_code = _NAMES[name]
        if not self._quiet:
            print("evospace: finishing the step, then saving (Ctrl-C again stops at once)", file=sys.stderr, flush=True)

    @property
    def ending(self) -> bool:
        """Whether the run is to end after this step."""
        return self._exit_code is not None

    def take_save(self) -> bool:
        """Whether the state is to be saved now; asking answers the request."""
        asked, self._save = self._save or self.ending, False
        return asked

    def check(self, where: str, resume: str) -> None:
        """Raise `InterruptedRunError` where the run is to end; call it only once everything is stored."""
        if self._exit_code is not None:
            raise InterruptedRunError(
                f"interrupted in {where}; everything is saved, go on with: {resume}", self._exit_code
            )
