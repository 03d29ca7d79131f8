"""The branches of residual networks; the identity beside them is the choice block's own.

k is the kernel, e the width. Every convolution is followed by BatchNorm.
"""

from torch import nn

from evospace.ops.layers import conv_bn, expand_filter_project
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


@modern
def basic(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Two dense k x k, the stride on the first (He et al., Deep Residual Learning, 2016)."""
    (k,) = settings(spec, "kernel")
    first = conv_bn(shape.in_channels, shape.out_channels, k, stride=shape.stride, act=shape.activation)
    return nn.Sequential(first, conv_bn(shape.out_channels, shape.out_channels, k))


@modern
def bottleneck(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1, dense k x k with stride, 1x1 (He et al., Deep Residual Learning, 2016), e quarters of C_out wide.

    e = 1 is ResNet-50's width, e = 2 that of Wide ResNet-50-2 (Zagoruyko and Komodakis, Wide Residual
    Networks, 2016); with SE it is the branch of SE-ResNet (Hu et al., Squeeze-and-Excitation Networks, 2018).
    """
    k, e = settings(spec, "kernel", "expansion")
    width = e * shape.out_channels // 4
    dense = conv_bn(width, width, k, stride=shape.stride, act=shape.activation)
    return expand_filter_project(spec, shape, width, [dense])


@modern
def resnext(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1, grouped k x k with stride, 1x1 (Xie et al., ResNeXt, 2017): e halves of C_out wide, groups of 4."""
    k, e = settings(spec, "kernel", "expansion")
    width = e * shape.out_channels // 2
    assert width % 4 == 0, "the groups have 4 channels each"
    grouped = conv_bn(width, width, k, stride=shape.stride, groups=width // 4, act=shape.activation)
    return expand_filter_project(spec, shape, width, [grouped])
