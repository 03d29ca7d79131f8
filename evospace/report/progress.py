"""What a person sees while a search runs: a live line on a terminal, plain lines elsewhere."""

import math
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from evospace.report.tables import short_cost

LINE_SECONDS = 60.0
"""Where there is no terminal: besides the first and the last of a round, a line for what ends this long after one."""


class Progress:
    """Round, epoch, loss, accuracy, cost and time left. A context manager: leaving it ends the live display."""

    def __init__(self, console: Console, *, rounds: int, epochs: int, done: int = 0) -> None:
        """`done` rounds were finished before (a resumed run)."""
        self._console, self._rounds, self._epochs = console, rounds, epochs
        self._first, self._started, self._fresh = float(done), time.monotonic(), True
        self._round, self._told = done, -math.inf
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def start_round(self, number: int) -> None:
        """A round begins; with the first of this sitting, what the time left is told by."""
        self._round = number - 1
        if self._fresh:
            self._started = time.monotonic()

    def epoch(self, epoch: int, *, loss: float, accuracy: float, cost: float, unit: str, active: int) -> None:
        """An epoch of supernet training ended."""
        self._not_counted(0.9 * (epoch - 1) / self._epochs)
        text = (
            f"round {self._round + 1}/{self._rounds}  epoch {epoch}/{self._epochs}  loss {loss:.3f}"
            f"  accuracy {accuracy:.3f}  expected {unit} {short_cost(unit, cost)}  active {active}"
            f"  {self._left(self._round + 0.9 * epoch / self._epochs)}"
        )
        self._show(text, always=epoch in (1, self._epochs))

    def scored(self, done: int, total: int) -> None:
        """An architecture was scored."""
        self._not_counted(0.9 + 0.1 * (done - 1) / total)
        text = f"round {self._round + 1}/{self._rounds}  scoring {done}/{total}"
        self._show(f"{text}  {self._left(self._round + 0.9 + 0.1 * done / total)}", always=done == total)

    def line(self, text: str) -> None:
        """A line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def _not_counted(self, share: float) -> None:
        """`share` of the first round of this sitting was done before it."""
        self._first += share if self._fresh else 0.0
        self._fresh = False

    def _left(self, rounds_done: float) -> str:
        elapsed = time.monotonic() - self._started
        share = (rounds_done - self._first) / (self._rounds - self._first)
        return f"about {elapsed / share - elapsed:.0f} s left" if share > 0 else ""

    def _show(self, text: str, *, always: bool) -> None:
        if self._live:
            self._live.update(Text(text), refresh=True)
        elif always or time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self.line(text)


class _Console(Console):
    """Rich's own ends the program with 1, and a word to nobody, where nobody reads on."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which has an exit code for it."""
        raise BrokenPipeError


def console(*, to_stderr: bool = False) -> Console:
    """Standard output, or standard error where the output is for a program; brackets in names are no markup."""
    return _Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False, markup=False)
