"""`config.yaml` of a run or a retraining: what it was begun with, and what it was given since."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evospace.errors import UsageError, reason
from evospace.runs.files import write_text
from evospace.settings_file import read_begun

OF_ONE_CALL = {"resume": False, "debug": False}
"""Settings that are not gone on with."""


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a run; raises `UsageError` where `path` holds no run, and `DataError` where they are damaged."""
    stored = path / "config.yaml"
    try:
        stored.stat()
    except OSError as error:
        raise UsageError(f"{path}: holds no config.yaml ({reason(error)}); give a run directory") from error
    return read_begun(stored)


def store_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Make `settings` those that `path` alone goes on with, where they are not yet."""
    stored = path / "config.yaml"
    wanted = {**settings, **{name: value for name, value in OF_ONE_CALL.items() if name in settings}}
    if not stored.exists() or read_config(path) != wanted:
        write_text(stored, yaml.safe_dump(wanted, sort_keys=False))


def search_again(path: Path) -> str:
    """The command that goes on with a search."""
    return f"evospace search --out {shlex.quote(str(path))} --resume"


def retrain_again(path: Path) -> str:
    """The command that goes on with a retraining."""
    return f"evospace retrain --out {shlex.quote(str(path))} --resume"
