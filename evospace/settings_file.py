"""Settings read from YAML and checked, for any flat dataclass of plain values. No torch here."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from evospace.errors import DataError, UsageError, reason, unknown_name
from evospace.reading import read_yaml

T = TypeVar("T")
LARGEST = 2**63 - 1
Ranges = Sequence[tuple[str, float, float]]
"""Name of a setting, and the smallest and largest value it may have."""
EARLIER: Mapping[str, Any] = {"initial_weights": "independent", "initial_gates": "uniform"}
"""What a run or study was begun with where its settings are silent: settings that came later with a new default."""


def flag(name: str) -> str:
    """A setting as the command line spells it."""
    return f"--{name.replace('_', '-')}"


def check_settings(settings: Any, ranges: Ranges) -> None:
    """Raise `UsageError` for a value of another type or out of its range, or a text with a NUL character."""
    hints = get_type_hints(type(settings))
    for name, hint in hints.items():
        if get_origin(hint) is not Literal:
            _require_type(name, getattr(settings, name), hint, "settings")
    for name, low, high in ranges:
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UsageError(f"{flag(name)} {value}: allowed are {low} to {high}")
    for name, hint in hints.items():
        if hint is str and "\0" in getattr(settings, name):
            raise UsageError(f"{flag(name)} {getattr(settings, name)!r}: leave the NUL character out")
        if get_origin(hint) is Literal and getattr(settings, name) not in get_args(hint):
            allowed = ", ".join(repr(choice) if not choice else str(choice) for choice in get_args(hint))
            raise UsageError(f"{flag(name)} {getattr(settings, name)!r}: allowed are {allowed}")


def check_out(out: str) -> None:
    """Raise `UsageError` for a folder's name that is no UTF-8, or begins with a ~ that no shell has replaced."""
    if out.startswith("~"):
        raise UsageError(f"--out {out}: ~ is not replaced by the home folder here; write the path out")
    if out != out.encode("utf-8", "replace").decode("utf-8"):
        raise UsageError(f"--out {out}: the name has to be UTF-8; choose another")


def load_settings(
    cls: type[T], path: Path, where: str, *, begun: bool = False, over: Mapping[str, Any] | None = None
) -> T:
    """Read a YAML mapping of settings; raises `UsageError` for unknown keys (near matches named) or wrong types.

    `begun`: those of a run or study that is there already, perhaps of an earlier version; raises `DataError` where they
    cannot be read. `over`: what they have where the file is silent, if not the defaults of `cls`.
    """
    if begun:
        return settings_from(cls, {**(over or {}), **completed(cls, read_begun(path))}, where)
    try:
        data = read_yaml(path)
    except (OSError, ValueError) as error:
        text = f"{where}: cannot be read as YAML settings ({reason(error)}); write one `name: value` a line"
        raise UsageError(text) from error
    if not isinstance(data, dict):
        raise UsageError(f"{where}: write a mapping of settings, e.g. data: digits")
    return settings_from(cls, {**(over or {}), **data}, where)


def read_begun(path: Path) -> dict[Any, Any]:
    """The settings that a run, retraining or study was begun with, as stored; raises `DataError` for anything else."""
    try:
        data = read_yaml(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); restore it") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: damaged (no mapping of settings); restore it")
    return data


def settings_from(cls: type[T], data: dict[Any, Any], where: str) -> T:
    """Settings of plain values; `where` names their source in errors."""
    hints = get_type_hints(cls)
    for key, value in data.items():
        if key not in hints:
            raise unknown_name(f"setting in {where}", f"{key!s:.80}", hints)
        _check_type(str(key), value, hints[key], where)
    values: dict[str, Any] = {k: float(v) if hints[k] is float else v for k, v in data.items()}
    return cls(**values)


def completed(cls: type[Any], data: dict[Any, Any]) -> dict[Any, Any]:
    """The stored settings of a run or study with what an earlier version did without asking."""
    return {name: value for name, value in EARLIER.items() if name in get_type_hints(cls)} | data


def changed_settings(cls: type[Any], old: dict[str, Any], new: dict[str, Any], but: frozenset[str]) -> list[str]:
    """Lines `key: old -> new` for the settings that differ, those of `but` left out.

    A setting that `old` lacks (it came later) had its default, or what `EARLIER` says.
    """
    old = completed(cls, old)
    stored = {f.name: old.get(f.name, f.default) for f in fields(cls) if f.name not in but}
    return [f"{key}: {was!r} -> {new[key]!r}" for key, was in stored.items() if was != new[key]]


def as_flags(settings: Mapping[str, Any], defaults: Mapping[str, Any], but: Collection[str]) -> list[str]:
    """The settings that are not the default ones, as a command line gives them, those of `but` left out."""
    parts = []
    for key, value in settings.items():
        if key in but or defaults.get(key, "") == value:
            continue
        name = str(key).replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{name}" if value else f"--no-{name}")
        else:
            parts.append(f"--{name} {shlex.quote(str(value))}")
    return parts


def _check_type(key: str, value: Any, hint: Any, where: str) -> None:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UsageError(f"{where}: {key}: {_short(value)} is not one of {', '.join(map(str, get_args(hint)))}")
        return
    _require_type(key, value, hint, where)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UsageError(f"{where}: {key}: the number is too large; allowed are at most {LARGEST}")


def _require_type(key: str, value: Any, hint: Any, where: str) -> None:
    wanted = (int, float) if hint is float else (hint,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise UsageError(f"{where}: {key}: {_short(value)} is not {_TYPES[hint]}")


_TYPES = {
    str: "text; put it in quotes",
    bool: "true or false",
    int: "a whole number",
    float: "a number; write it with a point, e.g. 0.1 or 1.0e-3",
}


def _short(value: Any) -> str:
    """`value` as Python writes it, cut to a length that fits a line; whole numbers of any size."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a huge number"
    try:
        return f"{value!r:.60}"
    except ValueError:  # such a number inside a list
        return f"a {type(value).__name__}"
