"""A module tree as one readable Python file: its layers, and the classes and functions they are made of."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from evospace.deploy.code.definitions import Definitions
from evospace.deploy.code.fields import Field, contents, fields_of, layers_of
from evospace.deploy.code.imports import merged
from evospace.deploy.code.layout import Call, literal, nested, render
from evospace.deploy.code.leaves import CannotWriteError, is_pytorch, leaf, plain_attributes
from evospace.errors import UsageError

Written = TypeVar("Written")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def python_file(network: nn.Module, title: str, comments: Mapping[str, str] | None = None) -> str:
    """The source of a file whose class, named as that of `network`, makes the same network without arguments.

    Its state dict has the same names and shapes. `title` is the file's docstring; `comments` stand above the modules
    of their names. Raises `UsageError` that names the operation for what has no source or no text.
    """
    return _Writer(network, comments or {}).file(title)


class _Writer:
    """Defines what the tree needs, each thing after what it needs itself, then the network."""

    def __init__(self, network: nn.Module, comments: Mapping[str, str]) -> None:
        self._network, self._comments = network, comments
        self._definitions = Definitions(network)

    def file(self, title: str) -> str:
        """The whole text."""
        for path, module in self._network.named_modules():
            if path and not is_pytorch(module):
                _at(path, self._definitions.module_class, type(module))
        root = _at("", self._root)
        parts = [*self._definitions.parts, root.rstrip()]
        if not any(re.search(r"\btorch\.", part) for part in parts):
            del self._definitions.imports["import torch"]
        return "\n\n\n".join([f'"""{title}"""\n\n{merged(self._definitions.imports)}', *parts]) + "\n"

    def _root(self) -> str:
        lines = ["def __init__(self) -> None:", "    super().__init__()"]
        lines += [self._root_line(field) for field in fields_of([self._network])]
        return self._definitions.written(type(self._network), "\n".join(lines))

    def _root_line(self, field: Field) -> str:
        """A statement of the network's own constructor, which takes nothing."""
        made = self._argument(field, contents(self._network)[field.name], field.name)
        text = render(made, 4, len(field.line) - len("{}"))
        return "    " + field.line.format(text)

    def _expression(self, module: nn.Module, path: str) -> Call | str:
        if isinstance(module, CONTAINERS) and is_pytorch(module):
            return _at(path, self._container, module, path)
        if is_pytorch(module):
            return _at(path, leaf, module)
        own, items = contents(module), []
        if isinstance(module, nn.Sequential):
            items += [("", self._expression(child, f"{path}.{name}")) for name, child in layers_of(module).items()]
        for field in _at(path, self._definitions.fields, type(module)):
            items.append((f"{field.argument}=", self._argument(field, own[field.name], f"{path}.{field.name}")))
        return Call(opening=f"{self._definitions.module_class(type(module))}(", items=tuple(items))

    def _argument(self, field: Field, value: Any, path: str) -> Call | str:
        if isinstance(value, nn.Module):
            return self._expression(value, path)
        shape = field.kind in ("parameter", "buffer") and value is not None
        return literal(tuple(value.shape)) if shape else nested(value)

    def _container(self, module: nn.Module, path: str) -> Call:
        if held := plain_attributes(module):
            raise CannotWriteError(f"an nn.{type(module).__name__} holds {', '.join(held)} besides layers")
        children = layers_of(module)
        made = [self._expression(child, f"{path}.{name}") for name, child in children.items()]
        comments = tuple(self._comments.get(f"{path}.{name}", "") for name in children)
        opening, closing, named = self._brackets(module, list(children))
        prefixes = [f"{literal(name)}: " if named else "" for name in children]
        items = tuple(zip(prefixes, made, strict=True))
        return Call(opening=opening, items=items, closing=closing, comments=comments)

    def _brackets(self, module: nn.Module, names: list[str]) -> tuple[str, str, bool]:
        """What opens and closes a container, and whether its items have names."""
        if isinstance(module, nn.ModuleDict):
            return "nn.ModuleDict({", "})", True
        if isinstance(module, nn.ModuleList):
            return "nn.ModuleList([", "])", False
        if names == [str(i) for i in range(len(names))]:
            return "nn.Sequential(", ")", False
        self._definitions.imports["from collections import OrderedDict"] = None
        return "nn.Sequential(OrderedDict({", "}))", True


def _at(path: str, write: Callable[..., Written], *given: Any) -> Written:
    """Call `write`; what it cannot write becomes a `UsageError` that names the operation."""
    try:
        return write(*given)
    except CannotWriteError as error:
        parts = re.fullmatch(r"blocks\.[0-9]+\.ops\.([^.]+).*", path)
        what = f"operation {parts[1]}" if parts else path or "the network"
        raise UsageError(f"{what} cannot be written as PyTorch code: {error}; --to onnx may do") from error
