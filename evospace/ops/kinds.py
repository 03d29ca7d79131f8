"""The registry of operation kinds and the decorator that fills it. No torch here."""

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from evospace.errors import UsageError
from evospace.ops.spec import BlockShape, OpSpec
from evospace.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Factory = Callable[[OpSpec, BlockShape], "nn.Module"]
F = TypeVar("F", bound=Callable[..., "nn.Module"])


@dataclass(frozen=True, kw_only=True)
class OperationKind:
    """A family of operations: its factory, the specs it offers, and the hash of the file it came from."""

    factory: Factory
    specs: tuple[OpSpec, ...]
    se: bool = False
    """Whether the factory honours `OpSpec.se`."""
    source_sha256: str | None = None
    """For a user's own operation; `None` for those that ship with EvoSpace."""


KINDS: Registry[OperationKind] = Registry("operation kind")
loading: list[str] = []
"""Hash of the user's file being executed, if any (innermost last); see `evospace.ops.user`."""


def operation(
    *,
    kernel: Sequence[int | None] = (None,),
    expansion: Sequence[int | None] = (None,),
    dilation: Sequence[int] = (1,),
    groups: Sequence[tuple[int, int]] = ((1, 1),),
    se: bool = False,
    name: str | None = None,
) -> Callable[[F], F]:
    """Register a function or class as an operation kind.

    It is called as ``factory(spec, shape)`` and returns a module that maps ``N x C_in x H x W`` to
    ``N x C_out x ceil(H/stride) x ceil(W/stride)``. One operation exists per combination of the settings
    given here. The kind is called `name`, else the function's name, else the class's in lower case. `se` says
    that the factory honours `spec.se`: only then can the operation be built with squeeze-excite.

    A search takes it from its file (`--ops FILE`, in Python ``ops="FILE"``), whose hash is stored with the results.
    The same function or class of the same file, or notebook, registered once more takes the place of the earlier one.

    Example::

        @evospace.operation(kernel=(3, 5))
        def plain(spec, shape):
            return nn.Conv2d(shape.in_channels, shape.out_channels, spec.kernel,
                             stride=shape.stride, padding=spec.kernel // 2)
    """

    def register(factory: F) -> F:
        kind = name or getattr(factory, "__name__", "").lower()
        grid = itertools.product(kernel, expansion, dilation, groups)
        specs = tuple(OpSpec(kind=kind, kernel=k, expansion=e, dilation=d, groups=g) for k, e, d, g in grid)
        source = loading[-1] if loading else None
        if kind in KINDS and _again(KINDS[kind], factory, source):
            KINDS.remove(kind)
        KINDS.add(kind, OperationKind(factory=factory, specs=specs, se=se, source_sha256=source))
        return factory

    return register


def _again(known: OperationKind, factory: Callable[..., object], source: str | None) -> bool:
    """Whether it is the same place's function or class, read once more; a name twice in one file is a slip."""
    return _home(known.factory) == _home(factory) and (source is None or source != known.source_sha256)


def _home(factory: Callable[..., object]) -> tuple[str, str]:
    """The file of a function or class (of a notebook: its module), and its name there."""
    file = getattr(sys.modules.get(factory.__module__), "__file__", None)
    return os.path.realpath(file) if file else factory.__module__, factory.__qualname__


def gated(spec: OpSpec) -> OpSpec:
    """The operation with squeeze-excite where its kind honours it, else the operation itself."""
    return spec.with_se() if KINDS[spec.kind].se else spec


def require_se(spec: OpSpec) -> None:
    """Raise `UsageError` for squeeze-excite in an operation whose kind would ignore it."""
    if spec.se and not KINDS[spec.kind].se:
        raise UsageError(
            f"operation {spec.name}: kind {spec.kind} has no squeeze-excite; write {replace(spec, se=False).name},"
            " or declare @operation(..., se=True) where the factory honours spec.se"
        )
