"""`config.yaml` of a run or a retraining: what it was begun with, and what it was given since."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evospace.errors import DataError, UsageError, reason
from evospace.reading import is_there, read_yaml
from evospace.runs.files import write_text

OF_ONE_CALL = {"resume": False, "debug": False}
"""Settings that are not gone on with."""


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a run; raises `UsageError` where `path` holds no run, and `DataError` where they are damaged."""
    stored = path / "config.yaml"
    if not is_there(stored):
        raise UsageError(f"{path}: holds no config.yaml; give a run directory")
    try:
        data = read_yaml(stored)
    except (OSError, ValueError) as error:
        raise DataError(f"{stored}: damaged ({reason(error)}); put back what was there") from error
    if not isinstance(data, dict):
        raise DataError(f"{stored}: damaged (no mapping of settings); put back what was there")
    return data


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
