"""Flags that are taken off a command line before the others are read. No torch here."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from evospace.errors import UsageError


def stored_config(args: Sequence[str]) -> Path | None:
    """The settings of the run that `--resume` goes on with, so that they need not be given again."""
    outs = [value for flag, value in pairwise(args) if flag == "--out"]
    outs += [arg.partition("=")[2] for arg in args if arg.startswith("--out=")]
    path = Path(outs[-1]) / "config.yaml" if outs and "--resume" in args else None
    return path if path and path.is_file() else None


def take(flag: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """Split `--config FILE` (or `--config=FILE`), say, off the flags; an empty text where it is not among them."""
    rest = list(args)
    for i, arg in enumerate(rest):
        if arg == flag:
            if i + 1 == len(rest):
                raise UsageError(f"{flag} needs a YAML file")
            return rest[i + 1], rest[:i] + rest[i + 2 :]
        if arg.startswith(f"{flag}="):
            return arg.partition("=")[2], rest[:i] + rest[i + 1 :]
    return "", rest
