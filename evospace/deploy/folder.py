"""An export's folder: it appears whole or not at all, and only an earlier export is replaced."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evospace.errors import DiskError, UsageError, reason
from evospace.reading import read_json
from evospace.runs.files import FULL, UMASK, flush_folder

MARK = "evospace-export"
"""`format` in an export's config.json: tells our folders from those of others."""
FILES = frozenset({"config.json", "README.md", "network.py", "model.safetensors", "model.onnx", "__pycache__"})
LARGEST = 1 << 26


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` at the end; after an error nothing is left of it.

    Raises:
        UsageError: `out` holds something else than an earlier export.
        DiskError: it cannot be written; what stood there before is intact.
    """
    check_target(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        filling = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        kind = DiskError if error.errno in FULL else UsageError
        raise kind(f"--out {out}: cannot be written ({reason(error)}); nothing was exported") from error
    try:
        yield filling
        filling.chmod(0o777 & ~UMASK)
        _exchange(filling, out)
    except (DiskError, OSError) as error:
        cause = error.__cause__ if isinstance(error, DiskError) and error.__cause__ else error
        mounted = "; it is mounted and cannot be replaced: give a folder inside it" if os.path.ismount(out) else ""
        raise DiskError(f"cannot write {out}: {reason(cause)}; nothing was exported{mounted}") from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)


def check_target(out: Path) -> None:
    """Raise `UsageError` where `out` is a file, or a folder with anything but an earlier export in it."""
    try:
        if not out.exists() and not out.is_symlink():
            return
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise UsageError(f"--out {out}: not a folder that can be written ({reason(error)})") from error
    if out.is_symlink():
        raise UsageError(f"--out {out}: a link; give the folder itself")
    if Path.cwd().is_relative_to(out.resolve()):
        raise UsageError(f"--out {out}: the folder you are in, or one above it; give a new folder")
    foreign = sorted(names - FILES)
    if names and (foreign or not _is_export(out)):
        example = f" (e.g. {foreign[0]})" if foreign else ""
        raise UsageError(f"--out {out}: the folder holds something else{example}; give a new folder")


def _is_export(out: Path) -> bool:
    try:
        config = read_json(out / "config.json", LARGEST)
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("format") == MARK


def _exchange(filled: Path, out: Path) -> None:
    """Put `filled` in the place of `out`; what was there goes only after that."""
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        if old:
            out.rename(old)
        filled.rename(out)
    except BaseException:  # Ctrl-C, too
        if old and not out.exists():
            old.rename(out)
        elif old:  # empty, or what the new folder has taken the place of
            shutil.rmtree(old, ignore_errors=True)
        raise
    flush_folder(out.parent)
    if old:
        shutil.rmtree(old, ignore_errors=True)
