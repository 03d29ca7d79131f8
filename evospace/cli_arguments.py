"""Command lines are read: flags taken off before the others, and the others by tyro. No torch here."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import tyro

from evospace.errors import UsageError
from evospace.reading import is_file

T = TypeVar("T")


def parse(cls: type[T], args: Sequence[str], prog: str, **options: Any) -> T:
    """`args` as a `cls`, by `tyro.cli`; raises `UsageError`, in a line, where they cannot be read."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed: T = tyro.cli(cls, args=args, prog=prog, **options)
            return parsed
    except SystemExit as end:
        if not end.code:  # --help
            raise
        raise UsageError(f"{_first_words(said.getvalue())}; {prog} --help lists what it takes") from None


def _first_words(box: str) -> str:
    """What tyro's box says between its title and its next rule, and the flags that it thinks were meant."""
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:]]
    text = "\n".join("\0" if set(line) in ({"─"}, {"-"}) else line for line in lines)
    parts = [part.strip() for part in text.split("\0") if part.strip()]
    meant = next((part for part in parts if part.startswith("Perhaps you meant")), "")
    flags = re.findall(r"^(--[\w-]+)", meant, flags=re.MULTILINE)
    hint = f" (did you mean {' or '.join(flags)}?)" if flags else ""
    words = " ".join(parts[0].split())
    words = re.sub(r"^Missing from .*?: [A-Z]+ (.*?)\.? \(required\)$", r"an argument is missing: \1", words)
    for python, kind in (
        ("invalid literal for int", "a whole number"),
        ("could not convert string to float", "a number"),
    ):
        words = re.sub(rf"^Error parsing (\S+): {python}.*?: (['\"].*['\"])", rf"\1: \2 is not {kind}", words)
    return words.rstrip(".") + hint


def stored_config(args: Sequence[str]) -> Path | None:
    """The settings of the run that `--resume` goes on with, so that they need not be given again."""
    outs = [value for flag, value in pairwise(args) if flag == "--out"]
    outs += [arg.partition("=")[2] for arg in args if arg.startswith("--out=")]
    path = Path(outs[-1]) / "config.yaml" if outs and "--resume" in args else None
    return path if path and is_file(path) else None


def take(flag: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """Split `--config FILE` (or `--config=FILE`), say, off the flags; an empty text where it is not among them."""
    rest = list(args)
    for i, arg in enumerate(rest):
        if arg == flag:
            if i + 1 == len(rest):
                raise UsageError(f"{flag} needs a value")
            return rest[i + 1], rest[:i] + rest[i + 2 :]
        if arg.startswith(f"{flag}="):
            return arg.partition("=")[2], rest[:i] + rest[i + 1 :]
    return "", rest
