"""Files are replaced atomically: write beside the target, flush, fsync, replace, fsync the folder."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from evospace.errors import DiskError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when a disk, a quota or a file's allowed size is used up."""

UMASK = os.umask(0o077)
"""What the user keeps from others in new files; it can only be read by setting it."""
os.umask(UMASK)


def this_moment() -> str:
    """Date and time to the microsecond, for folders whose makers may begin in the same second."""
    return datetime.now().strftime("%Y%m%d-%H%M%S-%f")


def replace_file(path: Path, write: Callable[[Path], object], size: int | None = None) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    Raises `DiskError`, with `path` still as it was, where that fails; `size` (bytes) is told where it is known.
    """
    temporary: Path | None = None
    with writing(path, size):
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            temporary = Path(name)
            write(temporary)
            _flush(temporary)
            temporary.chmod(0o666 & ~UMASK)
            temporary.replace(path)
            temporary = None
            flush_folder(path.parent)
        finally:
            if temporary:
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn a failure of the file system into a `DiskError` that names `path` and how much was to be written."""
    try:
        yield
    except BrokenPipeError:  # of the output, which nobody reads on
        raise
    except OSError as error:
        amount = "" if size is None else f" ({size:,} bytes)"
        advice = "free some space" if error.errno in FULL else "mend it"
        raise DiskError(
            f"cannot write {path}{amount}: {error.strerror or error}; nothing stored before is lost: {advice} and"
            " go on (where the command has it, with --resume)"
        ) from error


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Make new names in a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`."""
    replace_file(path, lambda temporary: temporary.write_bytes(data), len(data))


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text`; characters that UTF-8 cannot hold (of file names) are escaped."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON; bytes of a file name that are no UTF-8 are escaped as JSON does."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)
