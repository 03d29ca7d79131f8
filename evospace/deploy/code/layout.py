"""Python expressions as text: literals, and calls that are broken over lines where they are long."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WIDTH = 116
"""Columns of a constructor's lines, which stand 4 further to the right in the end."""
LARGEST_TENSOR = 4096
"""Tensors that are no part of a state dict are written number by number; no larger ones are."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Something with items in brackets; `comments` go above the items of the same position."""

    opening: str
    items: tuple[tuple[str, "Call | str"], ...]
    closing: str = ")"
    comments: tuple[str, ...] = ()


def render(expression: Call | str, indent: int = 0, used: int = 0) -> str:
    """The expression's text, on one line where it fits; `used` characters stand before it on its first line."""
    if isinstance(expression, str):
        return expression
    line = _one_line(expression)
    if line is not None and indent + used + len(line) <= WIDTH:
        return line
    inner, lines = " " * (indent + 4), [expression.opening]
    for i, (prefix, item) in enumerate(expression.items):
        if expression.comments and expression.comments[i]:
            lines.append(f"{inner}# {expression.comments[i]}")
        lines.append(f"{inner}{prefix}{render(item, indent + 4, len(prefix) + 1)},")
    return "\n".join([*lines, " " * indent + expression.closing])


def _one_line(expression: Call | str) -> str | None:
    if isinstance(expression, str):
        return expression
    if any(expression.comments):
        return None
    parts = [(prefix, _one_line(item)) for prefix, item in expression.items]
    if any(text is None for _, text in parts):
        return None
    return expression.opening + ", ".join(f"{prefix}{text}" for prefix, text in parts) + expression.closing


def literal(value: Any) -> str:
    """A plain value as Python text; raises `TypeError` for anything else."""
    if value is None or type(value) in (bool, int):
        return repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if type(value) is str:
        return _text(value)
    if isinstance(value, torch.dtype):
        return repr(value)
    if isinstance(value, Tensor):
        return _tensor(value)
    if type(value) is dict:
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return f"[{_joined(value)}]"
    if isinstance(value, tuple) and (type(value) is tuple or isinstance(value, torch.Size)):
        return f"({_joined(value)},)" if len(value) == 1 else f"({_joined(value)})"
    raise TypeError(type(value).__name__)


def _joined(values: Iterable[Any]) -> str:
    return ", ".join(literal(value) for value in values)


def _text(value: str) -> str:
    plain = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value}"' if plain else ascii(value)


def _tensor(value: Tensor) -> str:
    if value.numel() > LARGEST_TENSOR or value.is_complex() or value.is_quantized:
        raise TypeError(f"a tensor of {value.numel()} numbers")
    return f"torch.tensor({literal(value.detach().tolist())}, dtype={value.dtype})"


def nested(value: Any) -> "Call | str":
    """As `literal`, but long lists and mappings can be broken over lines."""
    if type(value) is list and value:
        return Call(opening="[", items=tuple(("", nested(item)) for item in value), closing="]")
    if type(value) is dict and value:
        items = tuple((f"{literal(key)}: ", nested(item)) for key, item in value.items())
        return Call(opening="{", items=items, closing="}")
    return literal(value)
