"""The operations of the NSE paper (its search code's definitions; see docs/operations.md).

Every convolution is followed by BatchNorm, and by the activation after all but the last. `e` below is
the expansion, C the block's input channels.
"""

from torch import nn

from evospace.ops.kinds import operation
from evospace.ops.layers import conv_bn, depthwise, expand_filter_project
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec

_ALL_GROUPS = ((1, 1), (1, 2), (2, 1), (2, 2))


@operation(kernel=(3, 5, 7, 9, 11), expansion=(1, 3, 6), dilation=(1, 2, 3), groups=_ALL_GROUPS, se=True)
def mbconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, depthwise k x k with stride and dilation, 1x1 eC -> C_out (MobileNetV2, Sandler 2018)."""
    k, e, d = settings(spec, "kernel", "expansion", "dilation", groups=True)
    hidden = e * shape.in_channels
    filters = depthwise(hidden, k, stride=shape.stride, dilation=d, act=shape.activation)
    return expand_filter_project(spec, shape, hidden, [filters])


@operation(kernel=(5, 7), expansion=(1, 2, 4), se=True)
def factorized(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, dense 1 x k (stride on width), dense k x 1 (stride on height), 1x1 eC -> C_out."""
    k, e = settings(spec, "kernel", "expansion", groups=True)
    hidden, act, s = e * shape.in_channels, shape.activation, shape.stride
    across = conv_bn(hidden, hidden, (1, k), stride=(1, s), act=act)
    down = conv_bn(hidden, hidden, (k, 1), stride=(s, 1), act=act)
    return expand_filter_project(spec, shape, hidden, [across, down])


@operation(kernel=(3,), expansion=(1, 2), se=True)
def conv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, dense k x k with stride, 1x1 eC -> C_out."""
    k, e = settings(spec, "kernel", "expansion", groups=True)
    hidden = e * shape.in_channels
    dense = conv_bn(hidden, hidden, k, stride=shape.stride, act=shape.activation)
    return expand_filter_project(spec, shape, hidden, [dense])


@operation(kernel=(3,), expansion=(1, 2), se=True)
def dualconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """As `conv` with two dense k x k, the stride on the second."""
    k, e = settings(spec, "kernel", "expansion", groups=True)
    hidden, act = e * shape.in_channels, shape.activation
    first = conv_bn(hidden, hidden, k, act=act)
    second = conv_bn(hidden, hidden, k, stride=shape.stride, act=act)
    return expand_filter_project(spec, shape, hidden, [first, second])
