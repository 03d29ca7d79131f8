"""Import statements for what a written file may import: PyTorch and, where a user's code needs it, Python itself."""

import builtins
import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from evospace.deploy.code.leaves import CannotWriteError

_PUBLIC = (torch, nn, functional)


def import_of(thing: Any, name: str) -> str | None:
    """The statement that makes `name` mean `thing`; `None` where nothing is to be imported.

    Raises `CannotWriteError` for a module that is neither PyTorch's nor Python's.
    """
    if isinstance(thing, ModuleType):
        return _module(thing, name)
    original, home = getattr(thing, "__name__", name), _home(thing)
    of_torch = home is None or home.__name__.partition(".")[0] == "torch"  # Python's own names lie about in torch, too
    for source in (*(_PUBLIC if of_torch else ()), home):
        for known in (name, original):
            if source is not None and getattr(source, known, None) is thing and not isinstance(thing, int | float):
                return _statement(source.__name__, known, name)
    return None


def _module(module: ModuleType, name: str) -> str:
    if not _allowed(module.__name__):
        raise CannotWriteError(f"it uses the module {module.__name__}; a written file imports torch alone")
    parent, _, last = module.__name__.rpartition(".")
    return _statement(parent, last, name)


def _statement(source: str, known: str, name: str) -> str:
    alias = "" if known == name else f" as {name}"
    return f"from {source} import {known}{alias}" if source else f"import {known}{alias}"


def _home(thing: Any) -> ModuleType | None:
    """The module that defines `thing`, where it may be imported."""
    where = getattr(thing, "__module__", None)
    if not isinstance(where, str) or not _allowed(where) or where == builtins.__name__:
        return None
    return importlib.import_module(where)


def _allowed(module: str) -> bool:
    root = module.partition(".")[0]
    return root == "torch" or root in sys.stdlib_module_names


def merged(statements: Iterable[str]) -> str:
    """The statements in alphabetical order, Python's own modules first, with one line for each module."""
    lines = [statement for statement in statements if statement.startswith("import ")]
    grouped: dict[str, list[str]] = {}
    for statement in statements:
        source, found, names = statement.removeprefix("from ").partition(" import ")
        if found and statement.startswith("from "):
            grouped.setdefault(source, []).append(names)
    lines += [f"from {source} import {', '.join(sorted(names))}" for source, names in grouped.items()]
    own = [line for line in lines if line.split()[1].partition(".")[0] != "torch"]
    parts = ["\n".join(sorted(part, key=_order)) for part in (own, [x for x in lines if x not in own]) if part]
    return "\n\n".join(parts)


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line
