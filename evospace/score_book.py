"""The scores of a round under way: stored as they come, so that a search that was ended need not score them anew."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from evospace.errors import EvospaceError
from evospace.runs.database import RunDatabase
from evospace.space.architecture import Architecture

SECONDS = 1.0
"""Scores are stored about this often, not one by one: every commit waits for the disk."""


class ScoreBook:
    """Answers in the order asked: with what is stored, as far as the same was asked before, then by scoring."""

    def __init__(
        self,
        database: RunDatabase,
        round: int,
        score: Callable[[int, Architecture], float | str],
        on_score: Callable[[int, int], bool],
        on_store: Callable[[int, int], None],
    ) -> None:
        """`score(position, architecture)` scores one.

        `on_score(asked, wanted)`: architectures asked for so far, of how many; returns whether to store now.
        `on_store`, of the same, is called when all is stored; it may raise to end the search.
        """
        self._database, self._round = database, round
        self._score, self._on_score, self._on_store = score, on_score, on_store
        self._stored = database.scores(round)
        self._new: list[tuple[Architecture, float | str]] = []
        self._asked = self._wanted = 0
        self._seconds = 0.0
        self._saved = time.monotonic()

    def ask(self, architectures: Sequence[Architecture]) -> list[float | str]:
        """Each architecture's score, or the reason why there is none."""
        self._wanted = self._asked + len(architectures)
        try:
            return [self._one(architecture) for architecture in architectures]
        except BaseException:
            with suppress(EvospaceError):  # what ended the scoring is what the user is to hear of
                self._write()
            raise

    def store(self) -> None:
        """Write what is not stored yet."""
        self._write()
        self._on_store(self._asked, self._wanted)

    def _write(self) -> None:
        if self._new:
            self._database.add_scores(self._round, self._asked - len(self._new), self._new)
        if self._seconds:
            self._database.add_seconds(self._round, "score", self._seconds)
        self._new, self._seconds, self._saved = [], 0.0, time.monotonic()

    def _one(self, architecture: Architecture) -> float | str:
        position = self._asked
        if position < len(self._stored) and self._stored[position][0] == architecture:
            self._asked += 1
            return self._stored[position][1]
        self._stored = []  # what follows was asked in another order, or never
        start = time.monotonic()
        try:
            score = self._score(position, architecture)
        finally:  # an architecture that is trained by itself may be left half-way: its seconds count
            self._seconds += time.monotonic() - start
        self._new.append((architecture, score))
        self._asked += 1
        if self._on_score(self._asked, self._wanted) or time.monotonic() - self._saved > SECONDS:
            self.store()
        return score
