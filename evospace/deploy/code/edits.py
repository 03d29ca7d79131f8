"""Edits of a definition's source that leave the rest of it, comments too, as it was written."""

import ast
import re
from collections.abc import Callable, Iterator, Set

from evospace.deploy.code.sources import parsed

Position = tuple[int, int]
"""A line from 1 and a byte in it from 0, as in `ast`."""
Span = tuple[Position, Position, str]
"""From, to, and the text that takes the place of what stands there."""


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def without_annotations(text: str, needless: Callable[[ast.expr], bool]) -> str:
    """The definition without the annotations that `needless` picks."""
    spans: list[Span] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and node.annotation and needless(node.annotation):
            start = node.lineno, node.col_offset + len(node.arg.encode())
            spans.append((start, _end(node.annotation), ""))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns and needless(node.returns):
            spans.append((_arrow(text, node.returns), _end(node.returns), ""))
        elif isinstance(node, ast.AnnAssign) and needless(node.annotation):
            target = node.target if node.value else node
            start = _end(target) if node.value else (node.lineno, node.col_offset)
            spans.append((start, _end(node.annotation), "" if node.value else "pass"))
    return _edited(text, spans)


def renamed(text: str, names: dict[str, str]) -> str:
    """The definition with its own name, or names from outside, changed."""
    changes = {old: new for old, new in names.items() if old != new}
    found = _from_outside(ast.parse(text), changes.keys())
    spans: list[Span] = [((node.lineno, node.col_offset), _end(node), changes[node.id]) for node in found]
    text, own = _edited(text, spans), parsed(text).name
    return re.sub(rf"^((?:class|def|async def) ){own}\b", rf"\g<1>{changes.get(own, own)}", text, count=1, flags=re.M)


def _from_outside(node: ast.AST, names: Set[str]) -> Iterator[ast.Name]:
    """Where `names` stand for what is outside: not where a function has an argument or a variable of that name."""
    if isinstance(node, ast.Name) and node.id in names:
        yield node
    if isinstance(node, _FUNCTIONS):
        body = node.body if isinstance(node.body, list) else [node.body]
        own = {child.arg for child in ast.iter_child_nodes(node.args) if isinstance(child, ast.arg)}
        own |= {name for statement in body for name in _assigned(statement)}
        for statement in body:
            yield from _from_outside(statement, names - own)
        others = [child for child in ast.iter_child_nodes(node) if child not in body]  # defaults, decorators
    else:
        others = list(ast.iter_child_nodes(node))
    for child in others:
        yield from _from_outside(child, names)


def _assigned(node: ast.AST) -> Iterator[str]:
    """The variables that a statement of a function makes its own, those of functions inside it left out."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    if isinstance(node, _FUNCTIONS):
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.comprehension) and child is node.target):  # a variable of that alone
            yield from _assigned(child)


def _end(node: ast.AST) -> Position:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _offset(text: str, position: Position) -> int:
    """In bytes."""
    line, column = position
    return sum(len(part.encode()) for part in text.splitlines(keepends=True)[: line - 1]) + column


def _arrow(text: str, returns: ast.expr) -> Position:
    """Where ` -> ` begins before a return annotation."""
    before = text.encode()[: _offset(text, (returns.lineno, returns.col_offset))]
    head = before[: before.rindex(b"->")].rstrip()
    return head.count(b"\n") + 1, len(head) - (head.rfind(b"\n") + 1)


def _edited(text: str, spans: list[Span]) -> str:
    content = text.encode()
    for start, end, new in sorted(spans, reverse=True):
        content = content[: _offset(text, start)] + new.encode() + content[_offset(text, end) :]
    return content.decode()
