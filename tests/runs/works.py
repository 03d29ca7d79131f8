"""Works for a queue, which processes of their own can load."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from evospace.errors import BudgetError
from evospace.runs.signals import Signals


@dataclass(frozen=True)
class Write:
    """Writes its text, and takes some seconds."""

    text: str
    seconds: float = 0.0

    def __call__(self, folder: Path, signals: Signals) -> None:
        print(f"at {self.text}")
        time.sleep(self.seconds)
        (folder / "done").write_text(self.text)


class UntilAsked:
    """Does nothing until it is asked to end, and then saves."""

    def __call__(self, folder: Path, signals: Signals) -> None:
        (folder / "begun").touch()
        while not signals.ending:
            time.sleep(0.02)
        (folder / "saved").touch()
        signals.check("a test", "nothing")


class Deaf:
    """Misses the first request, as one between two parts of a job is missed."""

    def __call__(self, folder: Path, signals: Signals) -> None:
        with Signals() as inner:
            (folder / "begun").touch()
            while not inner.ending:
                time.sleep(0.02)
        UntilAsked()(folder, signals)


class Fail:
    """Ends with an error that has an exit code, is killed, or breaks."""

    def __init__(self, how: str) -> None:
        self._how = how

    def __call__(self, folder: Path, signals: Signals) -> None:
        if self._how == "error":
            raise BudgetError("no such network")
        if self._how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._how == "unheard":
            raise BrokenPipeError
        raise RuntimeError("broken")
