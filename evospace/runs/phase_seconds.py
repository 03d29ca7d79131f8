"""Seconds of a phase of a round, stored with every state that is: what is done anew after a crash counts anew."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evospace.errors import EvospaceError
from evospace.runs.database import RunDatabase


class PhaseSeconds:
    """Adds to the seconds that a run's database has of each round and phase."""

    def __init__(self, database: RunDatabase) -> None:
        self._database = database
        self._phase: tuple[int, str] | None = None
        self._since = 0.0

    @contextmanager
    def of(self, round: int, phase: str) -> Iterator[None]:
        """Count what happens inside."""
        self._phase, self._since = (round, phase), time.monotonic()
        try:
            yield
        except BaseException:
            with suppress(EvospaceError):  # what ended the phase is what the user is to hear of
                self.store()
            raise
        else:
            self.store()
        finally:
            self._phase = None

    def store(self) -> None:
        """Add the seconds since the last time."""
        if self._phase:
            now = time.monotonic()
            self._database.add_seconds(*self._phase, now - self._since)
            self._since = now
