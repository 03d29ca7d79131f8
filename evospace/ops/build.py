"""One `build_op`: search, retraining and export build every operation through it."""

from torch import nn

from evospace.errors import UsageError
from evospace.ops import operations as operations  # this and the families register the kinds that ship
from evospace.ops.kinds import KINDS, require_se
from evospace.ops.modern import attention as attention
from evospace.ops.modern import channels as channels
from evospace.ops.modern import inverted as inverted
from evospace.ops.modern import involution as involution
from evospace.ops.modern import large as large
from evospace.ops.modern import pooling as pooling
from evospace.ops.modern import reparam as reparam
from evospace.ops.modern import residual as residual
from evospace.ops.spec import BlockShape, OpSpec


def build_op(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """A new module for `spec` at `shape`; raises `UsageError` where the two do not fit."""
    factory = KINDS[spec.kind].factory
    require_se(spec)
    try:
        return factory(spec, shape)
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(
            f"operation {spec.name} cannot be built for {shape.in_channels} -> {shape.out_channels} channels,"
            f" stride {shape.stride}: {error or 'a setting is missing'}"
        ) from error
