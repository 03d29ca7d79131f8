"""What a run was begun with, besides its settings: software, machine, data, the user's operations."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evospace.errors import DataError
from evospace.reading import read_json

LARGEST = 1 << 24
"""No `environment.json` is larger than this many bytes."""
_PACKAGES = ("evospace", "torch", "torchvision", "numpy", "moocore", "safetensors")


def environment() -> dict[str, Any]:
    """The software and machine a run used."""
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
    }
    return machine | {"packages": {name: version(name) for name in _PACKAGES}}


def require_contents(run: Path, contents: Mapping[str, str]) -> None:
    """Raise `DataError`, listing what differs, where `run` was begun on other data or with other operations."""
    compare_contents(run, read_contents(run), contents)


def compare_contents(run: Path, old: Mapping[str, str], contents: Mapping[str, str]) -> None:
    """Raise `DataError`, listing what differs between the two."""
    keys = [key for key in {**old, **contents} if old.get(key) != contents.get(key)]
    if keys:
        lines = [f"{key}: {old.get(key, 'absent')} -> {contents.get(key, 'absent')}" for key in keys[:5]]
        more = f"; and {len(keys) - 5} more" if len(keys) > 5 else ""
        raise DataError(
            f"the data or the operations are not what {run} was begun with ({'; '.join(lines)}{more});"
            " restore them, or use another --out"
        )


def read_contents(run: Path) -> dict[str, str]:
    """The contents that `environment.json` of a run names; raises `DataError` where it is missing or damaged."""
    path = run / "environment.json"
    try:
        return {str(k): str(v) for k, v in read_json(path, LARGEST)["contents"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: missing or damaged ({error}); choose another --out") from error
