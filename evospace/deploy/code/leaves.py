"""PyTorch's own layers as constructor calls, with the arguments that differ from the defaults."""

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from evospace.deploy.code.layout import Call, literal

_EVERY = frozenset(vars(nn.Module()))
"""What every module holds, and what is no setting of it."""


class CannotWriteError(Exception):
    """A module that has no text; says what is the matter, in a few words."""


def is_pytorch(module: nn.Module) -> bool:
    """Whether the class itself, not a subclass of it, is one of `torch.nn`."""
    return getattr(nn, type(module).__name__, None) is type(module)


def plain_attributes(module: nn.Module) -> dict[str, Any]:
    """What the module holds besides parameters, buffers and modules."""
    return {name: value for name, value in vars(module).items() if name not in _EVERY}


def leaf(module: nn.Module) -> Call:
    """The call that makes `module`, apart from its weights; raises `CannotWriteError` where no call does."""
    for shorten in (True, False):
        given, named = _arguments(module, shorten=shorten)
        if _makes(module, given, named):
            for name in list(named):  # what follows from other arguments, older versions of PyTorch may not take
                rest = {key: value for key, value in named.items() if key != name}
                named = rest if _makes(module, given, rest) else named
            items = [("", literal(value)) for value in given]
            items += [(f"{name}=", literal(value)) for name, value in named.items()]
            return Call(opening=f"nn.{type(module).__name__}(", items=tuple(items))
    raise CannotWriteError(f"torch.nn.{type(module).__name__} has settings that its constructor does not take")


@cache
def _constructor_of(name: str) -> tuple[inspect.Parameter, ...]:
    cls, skipped = getattr(nn, name), ("self", "device", "dtype")
    return tuple(p for p in inspect.signature(cls.__init__).parameters.values() if p.name not in skipped)


def _arguments(module: nn.Module, *, shorten: bool) -> tuple[list[Any], dict[str, Any]]:
    given: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in _constructor_of(type(module).__name__):
        value = getattr(module, parameter.name, parameter.default)
        if parameter.name == "bias" and not isinstance(value, bool):
            value = value is not None
        value = _short(value) if shorten else value
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            given.append(value)
        elif value != parameter.default and parameter.kind is not parameter.VAR_POSITIONAL:
            named[parameter.name] = value
    return given, named


def _short(value: Any) -> Any:
    """3 for (3, 3): layers take one number for all directions."""
    alike = isinstance(value, tuple) and len(value) > 1 and all(type(n) is int and n == value[0] for n in value)
    return value[0] if alike else value


def _makes(module: nn.Module, given: list[Any], named: dict[str, Any]) -> bool:
    """Whether a constructor call makes the same layer: the same settings, names and shapes."""
    try:
        for value in [*given, *named.values()]:
            literal(value)
        with torch.device("meta"):
            made = type(module)(*given, **named)
        return _settings(made) == _settings(module)
    except (TypeError, ValueError, RuntimeError, AssertionError):
        return False


def _settings(module: nn.Module) -> tuple[Any, ...]:
    own = {name: literal(value) for name, value in plain_attributes(module).items()}
    return own, {name: _shape(tensor) for name, tensor in module.state_dict(keep_vars=True).items()}


def _shape(tensor: Tensor) -> tuple[tuple[int, ...], torch.dtype]:
    return tuple(tensor.shape), tensor.dtype
