"""A user's own operations: a Python file they name on the command line with `--ops`."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from evospace.errors import DataError, MissingOperationError, UsageError
from evospace.ops.kinds import KINDS, loading


def load_ops_file(path: str | Path) -> tuple[str, ...]:
    """Execute `path` and return the operation kinds it registers, in order.

    The file's SHA-256 is kept with each kind, so that a stored front can say which source it needs.
    Loading one file twice registers it once. Raises `UsageError` where the file cannot be read, fails or
    registers nothing.
    """
    path = Path(path)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--ops {path}: cannot be read ({error.strerror}); give a Python file") from error
    digest = hashlib.sha256(source).hexdigest()
    return _kinds_of(digest) or _execute(path, source, digest)


def load_ops(files: str) -> tuple[str, ...]:
    """The kinds of several files, separated by commas; none for an empty text."""
    return tuple(kind for name in files.split(",") if name.strip() for kind in load_ops_file(name.strip()))


def _kinds_of(digest: str) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if KINDS[kind].source_sha256 == digest)


def _forget(module: str, digest: str) -> None:
    """Leave no trace of a file that failed half-way."""
    sys.modules.pop(module, None)
    for kind in _kinds_of(digest):
        KINDS.remove(kind)


def _execute(path: Path, source: bytes, digest: str) -> tuple[str, ...]:
    """Run `source` itself, not what lies at `path` or in Python's cache by now: the digest is that of what ran."""
    spec = importlib.util.spec_from_file_location(f"evospace_user_{digest[:12]}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--ops {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loading.append(digest)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        _forget(spec.name, digest)
        text = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"--ops {path}: {text}") from error
    finally:
        loading.pop()
    kinds = _kinds_of(digest)
    if not kinds:
        raise UsageError(f"--ops {path}: registers no operation; decorate one with @evospace.operation(...)")
    return kinds


def require_source(kind: str, sha256: str | None) -> None:
    """Check that the registered `kind` comes from the source a stored file names.

    Raises `MissingOperationError` where it is not registered, and `DataError` where it is of another source.
    """
    if sha256 is None:
        return
    if kind not in KINDS:
        text = f"operation {kind!r} is a user's own; give its file with --ops (SHA-256 {sha256[:12]}...)"
        raise MissingOperationError(text)
    if KINDS[kind].source_sha256 != sha256:
        raise DataError(
            f"operation {kind!r}: the file given with --ops is not the one stored (SHA-256 {sha256[:12]}...)"
        )


def sources_of(kinds: Iterable[str]) -> dict[str, str]:
    """The sha256 of the file that defines each of the user's own `kinds`, as `contents` of a run names them."""
    return {f"operation {kind}": str(KINDS[kind].source_sha256) for kind in kinds}
