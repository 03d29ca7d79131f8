"""The source of classes and functions, cut down to what a written file needs of it."""

import ast
import builtins
import inspect
import symtable
import sys
import textwrap
from collections.abc import Set
from typing import Any

from evospace.deploy.code.leaves import CannotWriteError

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def source_of(thing: Any) -> str:
    """Source from `class` or `def` on (a class's decorators are left out); raises `CannotWriteError`."""
    name = getattr(thing, "__name__", type(thing).__name__)
    try:
        text = textwrap.dedent(inspect.getsource(thing))
        definition = parsed(text)
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise CannotWriteError(f"the source of {name} cannot be found") from error
    first = definition.lineno if isinstance(definition, ast.ClassDef) else _first_line(definition)
    return "\n".join(text.splitlines()[first - 1 : definition.end_lineno]) + "\n"


def parsed(text: str) -> Definition:
    """The one definition that `text` holds."""
    (node,) = ast.parse(text).body
    if not isinstance(node, Definition):
        raise SyntaxError("neither a class nor a function")
    return node


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def with_constructor(text: str, constructor: str, kept: Set[str] = frozenset()) -> str:
    """A class's source with `constructor` in the place of its own one, and without what only that one called.

    Methods of the names `kept` stay.
    """
    node = parsed(text)
    if node.body[0].lineno == node.lineno:  # class X: pass
        text = ast.unparse(node) + "\n"
        node = parsed(text)
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    written = textwrap.indent(constructor, "    ").splitlines()
    edits = [_removal(text, methods[name]) for name in _only_for_construction(methods, kept) if name != "__init__"]
    if "__init__" in methods and written:
        edits.append((_first_line(methods["__init__"]) - 1, methods["__init__"].end_lineno or 0, written))
    elif "__init__" in methods:
        edits.append(_removal(text, methods["__init__"]))
    elif written:
        edits.append(_insertion(node, written))
    lines = text.splitlines()
    for start, end, replacement in sorted(edits, key=lambda edit: -edit[0]):
        lines[start:end] = replacement
    return _with_body("\n".join(lines) + "\n")


Edit = tuple[int, int, list[str]]
"""Lines from, to, and what they are replaced by."""


def _removal(text: str, node: Definition) -> Edit:
    """Take a method out, with the blank lines above it."""
    lines, start = text.splitlines(), _first_line(node) - 1
    while not lines[start - 1].strip():
        start -= 1
    return start, node.end_lineno or 0, []


def _insertion(node: Definition, written: list[str]) -> Edit:
    """Put the constructor after the docstring, or else first."""
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        end = first.end_lineno or 0
        return end, end, ["", *written]
    start = (_first_line(first) if isinstance(first, Definition) else first.lineno) - 1
    return start, start, [*written, ""]


def _with_body(text: str) -> str:
    try:
        parsed(text)
    except SyntaxError:  # nothing was left
        return text + "    pass\n"
    return text


def attributes_at_run_time(text: str) -> set[str]:
    """The attributes, of whatever, that a class's methods name outside of its constructor."""
    methods = [m for m in parsed(text).body if isinstance(m, ast.FunctionDef) and m.name != "__init__"]
    return {node.attr for method in methods for node in ast.walk(method) if isinstance(node, ast.Attribute)}


def _only_for_construction(methods: dict[str, ast.FunctionDef], kept: Set[str]) -> set[str]:
    """`__init__`, and the methods not `kept` that no other method uses but those of this set."""
    dropped = {"__init__"} & methods.keys()
    used = {name: {n.attr for n in ast.walk(m) if isinstance(n, ast.Attribute)} for name, m in methods.items()}
    while True:
        called = {name for d in dropped for name in used[d]} & methods.keys() - dropped - {"forward", *kept}
        elsewhere = {name for m in methods.keys() - dropped for name in used[m] if name != m}
        if not called - elsewhere:
            return dropped
        dropped |= called - elsewhere


def outer_names(text: str) -> list[str]:
    """The names that a definition takes from outside of it, builtins apart, in order of first use."""
    own = parsed(text).name
    found: set[str] = set()
    tables = [symtable.symtable(text, "definition", "exec")]
    while tables:
        table = tables.pop()
        module = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_global() or (module and s.is_referenced())}
        tables += table.get_children()
    order = [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys(order) if name in found and name != own and not hasattr(builtins, name)]


def surroundings(thing: Any) -> dict[str, Any]:
    """What names mean to a class or function: its module's globals, and what functions around it gave it."""
    functions = [thing] if not isinstance(thing, type) else list(vars(thing).values())
    module = sys.modules.get(getattr(thing, "__module__", ""), None)
    names = dict(vars(module)) if module else {}
    for function in functions:
        function = inspect.unwrap(getattr(function, "__func__", None) or getattr(function, "fget", None) or function)
        if inspect.isfunction(function):
            names |= function.__globals__
    for function in functions:
        function = inspect.unwrap(getattr(function, "__func__", None) or getattr(function, "fget", None) or function)
        if inspect.isfunction(function):
            names |= _closure(function)
    return names


def _closure(function: Any) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not given a value yet
            continue
    return found
