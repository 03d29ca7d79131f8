"""Opens SQLite files so that every fault is an error of EvoSpace, in a line."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evospace.errors import DataError, DiskError

WAIT_SECONDS = 60
"""For another process to finish its transaction."""


@contextmanager
def opened(path: Path, *, write: bool, what: str, intact: str, mend: str = "") -> Iterator[sqlite3.Connection]:
    """A connection within one transaction; it is made where it is missing, if `write`.

    A transaction that a killed process left half-written is rolled back by whoever opens the file next, which takes
    the right to write it: a file is opened for reading alone only where there is no such right.
    `what` names the kind of database, `intact` what a full disk leaves alone and `mend` what to do, in errors. Raises
    `DataError` for a missing, locked, damaged or foreign file, and `DiskError` for a full disk.
    """
    if not write and not path.exists():
        raise DataError(f"{path}: is missing")
    try:
        mode = "rwc" if write else "rw" if os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_SECONDS)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "full" not in str(error) and "disk I/O" not in str(error):
            raise DataError(f"{path}: cannot be read or written ({error})") from error
        raise DiskError(f"cannot write {path}: {error}; {intact}") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path}: damaged, or no {what} ({error}){mend}") from error


def is_out_of_reach(error: DataError) -> bool:
    """Whether `opened` raised `error` for a file that may well be sound: another process holds it, or it is closed."""
    words = ("locked", "unable to open", "readonly")
    return isinstance(error.__cause__, sqlite3.OperationalError) and any(w in str(error.__cause__) for w in words)
