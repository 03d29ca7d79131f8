"""What the instances of one class hold: the arguments of the constructor that is written for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from evospace.deploy.code.layout import literal
from evospace.deploy.code.leaves import CannotWriteError, plain_attributes


@dataclass(frozen=True, kw_only=True)
class Field:
    """One name that the instances hold, and how their constructor gets it."""

    name: str
    kind: str
    """`value` (plain, or a module), `parameter`, `buffer`, or `constant` (a buffer outside the state dict)."""
    line: str
    """The constructor's statement; `{}` stands for the argument."""
    annotation: str

    @property
    def argument(self) -> str:
        """The argument's name: tensors are given by their shapes."""
        return f"{self.name}_shape" if self.kind in ("parameter", "buffer") else self.name

    @property
    def statement(self) -> str:
        """The line of the constructor that stores the argument."""
        return self.line.format(self.argument)


def contents(module: nn.Module) -> dict[str, Any]:
    """Name to plain value, parameter, buffer or module, in the order in which a constructor takes them.

    The layers of an `nn.Sequential` are left out: they have numbers for names.
    """
    own = {**plain_attributes(module), **module._parameters, **module._buffers}
    return own if isinstance(module, nn.Sequential) else own | module._modules


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """Its direct layers by name; one that is held twice is there twice."""
    return {name: layer for name, layer in module._modules.items() if layer is not None}


def fields_of(instances: Sequence[nn.Module]) -> list[Field]:
    """The fields of all instances of a class together; raises `CannotWriteError` for what has no text."""
    names = dict.fromkeys(name for module in instances for name in contents(module))
    return [_field(name, instances) for name in names]


def _field(name: str, instances: Sequence[nn.Module]) -> Field:
    if not name.isidentifier():
        raise CannotWriteError(f"it holds something called {name!r:.40}, which is no name in Python")
    _refuse_hooks(instances)
    values = [contents(module)[name] for module in instances if name in contents(module)]
    if len(values) < len(instances):
        raise CannotWriteError(f"some of it hold {name!r} and some do not")
    kinds = {_kind(name, module) for module in instances} - {"none"} or {"value"}
    if len(kinds) > 1:
        raise CannotWriteError(f"{name!r} is a tensor in some of it and something else in others")
    (kind,) = kinds
    return Field(name=name, kind=kind, line=_line(name, kind, values), annotation=_annotation(kind, values))


def _kind(name: str, module: nn.Module) -> str:
    value = contents(module)[name]
    if value is None:
        return "none"
    if name in module._parameters:
        return "parameter"
    if name in module._buffers and name not in module._non_persistent_buffers_set:
        return "buffer"
    if not isinstance(value, nn.Module):
        try:
            literal(value)
        except (TypeError, RecursionError) as error:
            raise CannotWriteError(f"its attribute {name!r} ({error}) has no text") from error
    return "constant" if name in module._buffers else "value"


def _refuse_hooks(instances: Sequence[nn.Module]) -> None:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks")
    if any(getattr(module, hook) for module in instances for hook in hooks):
        raise CannotWriteError("it has a hook, which has no text")


def _line(name: str, kind: str, values: Sequence[Any]) -> str:
    if kind == "value":
        return f"self.{name} = {{}}"
    if kind == "constant":
        return f'self.register_buffer("{name}", {{}}, persistent=False)'
    tensors = [value for value in values if value is not None]
    if len({tensor.dtype for tensor in tensors}) > 1:
        raise CannotWriteError(f"{name!r} has several types of numbers")
    dtype = "" if str(tensors[0].dtype) == "torch.float32" else f", dtype={tensors[0].dtype}"
    made = f"torch.zeros({{0}}{dtype})"
    if kind == "parameter":
        fixed = "" if any(tensor.requires_grad for tensor in tensors) else ", requires_grad=False"
        made = f"nn.Parameter({made}{fixed})"
        stored = "self.{name} = {made}"
    else:
        stored = 'self.register_buffer("{name}", {made})'
    if len(tensors) < len(values):
        made = f"None if {{0}} is None else {made}"
    return stored.format(name=name, made=made)


def _annotation(kind: str, values: Sequence[Any]) -> str:
    if kind in ("parameter", "buffer"):
        texts = {"None" if value is None else "tuple[int, ...]" for value in values}
    else:
        texts = {_type(value) for value in values}
    return " | ".join(sorted(texts - {"None"})) + (" | None" if "None" in texts and len(texts) > 1 else "") or "None"


def _type(value: Any) -> str:
    if isinstance(value, nn.Module):
        return "nn.Module"
    if isinstance(value, Tensor):
        return "torch.Tensor"
    if type(value) in (list, tuple) and value:
        inner = " | ".join(sorted({_type(item) for item in value}))
        return f"list[{inner}]" if type(value) is list else f"tuple[{inner}, ...]"
    return "None" if value is None else type(value).__name__
