"""The operations of the NSE paper (its search code's definitions; see docs/method.md).

Every convolution is followed by BatchNorm, and by the activation after all but the last. `e` below is
the expansion, C the block's input channels.
"""

from torch import nn

from evospace.ops.kinds import operation
from evospace.ops.layers import SqueezeExcite, conv_bn
from evospace.ops.spec import BlockShape, OpSpec


def _expand_filter_project(spec: OpSpec, shape: BlockShape, hidden: int, filters: list[nn.Module]) -> nn.Module:
    """1x1 to `hidden` channels (groups g1), the filters, optional SE, 1x1 to the output (groups g2)."""
    act = shape.activation
    gate = [SqueezeExcite(hidden, act)] if spec.se else []
    return nn.Sequential(
        conv_bn(shape.in_channels, hidden, groups=spec.groups[0], act=act),
        *filters,
        *gate,
        conv_bn(hidden, shape.out_channels, groups=spec.groups[1]),
    )


def _settings(spec: OpSpec, shape: BlockShape) -> tuple[int, int]:
    assert spec.kernel is not None
    assert spec.expansion is not None
    assert spec.kernel % 2, "the kernel must be odd"
    assert spec.kind == "mbconv" or spec.dilation == 1, "only mbconv can be dilated"
    return spec.kernel, spec.expansion * shape.in_channels


@operation(kernel=(3, 5, 7, 9, 11), expansion=(1, 3, 6), dilation=(1, 2, 3), groups=((1, 1), (1, 2), (2, 1), (2, 2)))
def mbconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, depthwise k x k with stride and dilation, 1x1 eC -> C_out (MobileNetV2, Sandler 2018)."""
    k, hidden = _settings(spec, shape)
    depthwise = conv_bn(
        hidden, hidden, k, stride=shape.stride, dilation=spec.dilation, groups=hidden, act=shape.activation
    )
    return _expand_filter_project(spec, shape, hidden, [depthwise])


@operation(kernel=(5, 7), expansion=(1, 2, 4))
def factorized(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, dense 1 x k (stride on width), dense k x 1 (stride on height), 1x1 eC -> C_out."""
    k, hidden = _settings(spec, shape)
    act, s = shape.activation, shape.stride
    across = conv_bn(hidden, hidden, (1, k), stride=(1, s), act=act)
    down = conv_bn(hidden, hidden, (k, 1), stride=(s, 1), act=act)
    return _expand_filter_project(spec, shape, hidden, [across, down])


@operation(kernel=(3,), expansion=(1, 2))
def conv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, dense k x k with stride, 1x1 eC -> C_out."""
    k, hidden = _settings(spec, shape)
    dense = conv_bn(hidden, hidden, k, stride=shape.stride, act=shape.activation)
    return _expand_filter_project(spec, shape, hidden, [dense])


@operation(kernel=(3,), expansion=(1, 2))
def dualconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """As `conv` with two dense k x k, the stride on the second."""
    k, hidden = _settings(spec, shape)
    first = conv_bn(hidden, hidden, k, act=shape.activation)
    second = conv_bn(hidden, hidden, k, stride=shape.stride, act=shape.activation)
    return _expand_filter_project(spec, shape, hidden, [first, second])
