"""One `build_op`: search, retraining and export build every operation through it."""

from torch import nn

from evospace.errors import UsageError
from evospace.ops import operations as operations  # registers the kinds that ship with EvoSpace
from evospace.ops.kinds import KINDS
from evospace.ops.spec import BlockShape, OpSpec


def build_op(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """A new module for `spec` at `shape`; raises `UsageError` where the two do not fit."""
    factory = KINDS[spec.kind].factory
    try:
        return factory(spec, shape)
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(
            f"operation {spec.name} cannot be built for {shape.in_channels} -> {shape.out_channels} channels,"
            f" stride {shape.stride}: {error or 'a setting is missing'}"
        ) from error
