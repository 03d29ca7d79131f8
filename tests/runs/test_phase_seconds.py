import time

import pytest

from evospace.errors import DiskError
from evospace.runs.database import RunDatabase
from evospace.runs.phase_seconds import PhaseSeconds


class Counted(RunDatabase):
    """Keeps the seconds in memory, and fails where it is told to."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, float]] = []
        self.full = False

    def add_seconds(self, round: int, phase: str, seconds: float) -> None:
        if self.full:
            raise DiskError("full")
        self.found.append((round, phase, seconds))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_every_state_that_is_stored_has_the_seconds_until_then(clock: list[float]) -> None:
    database = Counted()
    seconds = PhaseSeconds(database)
    seconds.store()  # of no phase
    with seconds.of(2, "train"):
        clock[0] += 3
        seconds.store()
        clock[0] += 4
        seconds.store()
        clock[0] += 0.5
    clock[0] += 9
    seconds.store()
    assert database.found == [(2, "train", 3.0), (2, "train", 4.0), (2, "train", 0.5)]


def interrupted(clock: list[float]) -> None:
    clock[0] += 2
    raise KeyboardInterrupt


def test_what_ends_a_phase_is_what_is_heard_of(clock: list[float]) -> None:
    database = Counted()
    for full in (False, True):
        database.full = full
        with pytest.raises(KeyboardInterrupt), PhaseSeconds(database).of(1, "train"):
            interrupted(clock)
    assert database.found == [(1, "train", 2.0)]
    with pytest.raises(DiskError), PhaseSeconds(database).of(1, "train"):
        clock[0] += 2
