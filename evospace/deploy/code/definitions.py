"""The classes, functions, constants and imports that a written file needs, each after what it needs itself."""

import ast
import inspect
from collections.abc import Hashable
from typing import Any

from torch import nn

from evospace.deploy.code.edits import renamed, without_annotations
from evospace.deploy.code.fields import Field, fields_of
from evospace.deploy.code.imports import import_of
from evospace.deploy.code.layout import Call, literal, render
from evospace.deploy.code.leaves import CannotWriteError, is_pytorch
from evospace.deploy.code.sources import (
    attributes_at_run_time,
    outer_names,
    source_of,
    surroundings,
    with_constructor,
)


class Definitions:
    """Gathers definitions and gives each a name that nothing else in the file has."""

    def __init__(self, network: nn.Module) -> None:
        """The network's own class gets its name first."""
        self.parts: list[str] = []
        self.imports: dict[str, None] = {"import torch": None, "from torch import nn": None}
        self._names: dict[Hashable, str] = {}
        self._taken: dict[str, Hashable] = {"torch": "import torch", "nn": "from torch import nn"}
        self._instances: dict[Hashable, list[nn.Module]] = {}
        for module in network.modules():
            if not is_pytorch(module):
                self._instances.setdefault(key_of(type(module)), []).append(module)
        self.name(type(network).__name__, key_of(type(network)))

    def module_class(self, cls: type[nn.Module]) -> str:
        """The name of a class of modules, which is defined where it is not yet; raises `CannotWriteError`."""
        key = key_of(cls)
        if key in self._names:
            return self._names[key]
        foreign = [base for base in cls.__mro__[1:] if base not in (nn.Module, nn.Sequential, object)]
        if any(_from_pytorch(base) for base in foreign):
            raise CannotWriteError(f"{cls.__name__} is a variant of a layer of PyTorch")
        name = self.name(cls.__name__, key)
        text = self.written(cls, self._constructor(cls, derived=bool(foreign)))
        self.parts.append(text.rstrip())
        return name

    def _constructor(self, cls: type[nn.Module], *, derived: bool) -> str:
        fields, sequential = self.fields(cls), issubclass(cls, nn.Sequential)
        if not fields and not derived:
            return ""
        modules = ["*modules: nn.Module"] if sequential else []
        arguments = [*modules, *([] if sequential or not fields else ["*"])]
        arguments += [f"{field.argument}: {field.annotation}" for field in fields]
        base = "nn.Sequential" if sequential else "nn.Module"
        given = "*modules" if sequential else ""
        start = f"{base}.__init__(self{', ' if given else ''}{given})" if derived else f"super().__init__({given})"
        head = Call(opening="def __init__(", items=tuple(("", a) for a in ["self", *arguments]), closing=") -> None:")
        return "\n".join([render(head, 0, 4), f"    {start}", *(f"    {field.statement}" for field in fields)])

    def fields(self, cls: type[nn.Module]) -> list[Field]:
        """What the instances of a class hold; raises `CannotWriteError` for what has no text."""
        instances = self._instances.get(key_of(cls), [])
        found = fields_of(instances)
        if issubclass(cls, nn.Sequential):
            children = {name for module in instances for name in module._modules}
            if not all(name.isdecimal() for name in children):
                raise CannotWriteError(f"{cls.__name__} is an nn.Sequential with names of its own")
        return found

    def written(self, cls: type[nn.Module], constructor: str) -> str:
        """A class's source with that constructor; what its methods name is defined before."""
        others = {type(module) for modules in self._instances.values() for module in modules} - {cls}
        kept = {name for other in others for name in _asked_by(other)}
        stub = with_constructor(source_of(cls), "def __init__(self): ..." if constructor else "", kept)
        return with_constructor(self._finished(cls, stub), constructor, kept)

    def _finished(self, thing: Any, text: str) -> str:
        """The source with everything that it names defined before it."""
        known, names = surroundings(thing), {}
        at_run_time = set(outer_names(without_annotations(text, lambda _: True)))
        impossible = set()
        for name in outer_names(text):
            if name in at_run_time:
                if name not in known:
                    raise CannotWriteError(f"{thing.__name__} uses {name}, which is nowhere defined")
                names[name] = self._define(known[name], name)
            elif name in known and (statement := _import(known[name], name)):
                names[name] = self._imported(statement, name)
            else:
                impossible.add(name)
        text = without_annotations(text, lambda node: bool(impossible & {n.id for n in _names_in(node)}))
        own = {thing.__name__: self._names[key_of(thing)]} if key_of(thing) in self._names else {}
        return renamed(text, names | own)

    def _define(self, thing: Any, name: str) -> str:
        """Make `name` mean `thing` in the file; returns what it is called there."""
        if statement := import_of(thing, name):
            return self._imported(statement, name)
        if isinstance(thing, type) and issubclass(thing, nn.Module):
            return self.module_class(thing)
        if inspect.isclass(thing) or inspect.isroutine(inspect.unwrap(thing) if callable(thing) else thing):
            return self._source(thing, name)
        return self._constant(thing, name)

    def _imported(self, statement: str, name: str) -> str:
        given = self.name(name, statement)
        self.imports[statement if given == name else f"{statement.partition(' as ')[0]} as {given}"] = None
        return given

    def _source(self, thing: Any, name: str) -> str:
        key = key_of(thing)
        if key not in self._names:
            given = self.name(getattr(thing, "__name__", name), key)
            if given.startswith("<"):
                raise CannotWriteError(f"it uses {name}, a function without a name")
            self.parts.append(self._finished(thing, source_of(thing)).rstrip())
        return self._names[key]

    def _constant(self, thing: Any, name: str) -> str:
        try:
            text = literal(thing)
        except (TypeError, RecursionError) as error:
            raise CannotWriteError(f"it uses {name} ({type(thing).__name__}), which has no text") from error
        key = ("constant", name, text)
        if key not in self._names:
            self.parts.append(f"{self.name(name, key)} = {text}")
        return self._names[key]

    def name(self, wanted: str, key: Hashable) -> str:
        """The name of what `key` stands for: `wanted`, or with a number where that is taken."""
        if self._taken.get(wanted) == key:
            return wanted
        if key not in self._names:
            free = (wanted if i == 1 else f"{wanted}{i}" for i in range(1, 10_000))
            self._names[key] = next(name for name in free if name not in self._taken)
            self._taken[self._names[key]] = key
        return self._names[key]


def key_of(thing: Any) -> Hashable:
    """What tells a class or function from others: where it stands and what was given to it around."""
    where = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", repr(thing))
    if "<locals>" not in where[1]:
        return where
    given = {name: value for name, value in surroundings(thing).items() if name in _free(thing)}
    return (*where, repr(sorted(given.items(), key=lambda item: item[0])))


def _free(thing: Any) -> set[str]:
    functions = list(vars(thing).values()) if isinstance(thing, type) else [thing]
    return {name for f in functions if inspect.isfunction(f) for name in f.__code__.co_freevars} - {"__class__"}


def _names_in(node: ast.expr) -> list[ast.Name]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Name)]


def _import(thing: Any, name: str) -> str | None:
    try:
        return import_of(thing, name)
    except CannotWriteError:
        return None


def _asked_by(cls: type) -> set[str]:
    """The attributes that a class asks of whatever it holds; one without a source is told where it is written."""
    try:
        return attributes_at_run_time(source_of(cls))
    except CannotWriteError:
        return set()


def _from_pytorch(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torch"
