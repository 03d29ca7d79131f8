"""A folder or file that one process at a time works on."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evospace.runs.files import writing

LOCK = ".lock"
TRIES, AGAIN_SECONDS = 5, 0.01


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Make the folder and hold it; yields whether it is ours. The system lets go where the process ends in any way."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as ours:
        yield ours


@contextmanager
def locked(path: Path, tries: int = TRIES) -> Iterator[bool]:
    """Hold the file `path`, made where it is not there and left there; yields whether it is ours."""
    with writing(path):
        file = path.open("w")
    with file:
        yield _taken(file, tries)


def _taken(file: IO[str], tries: int) -> bool:
    """Whether the lock could be had; one who only asks whether it is free (`alone_in`) holds it for a moment."""
    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if left:
                time.sleep(AGAIN_SECONDS)
    return False
