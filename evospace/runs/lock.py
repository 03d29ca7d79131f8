"""A folder or file that one process at a time works on."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evospace.runs.files import writing

LOCK = ".lock"


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Make the folder and hold it; yields whether it is ours. The system lets go where the process ends in any way."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as ours:
        yield ours


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the file `path`, made where it is not there and left there; yields whether it is ours."""
    with writing(path):
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
