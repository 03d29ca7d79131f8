"""Pooling, alone and as the mixer of tokens."""

from torch import nn

from evospace.ops.layers import conv_bn
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


def _mean(k: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(k, stride, padding=k // 2, count_include_pad=False)


def _then_widen(pool: nn.Module, shape: BlockShape) -> nn.Module:
    """1x1 convolution and BatchNorm after the pooling, where the channels change."""
    if shape.in_channels == shape.out_channels:
        return pool
    return nn.Sequential(pool, conv_bn(shape.in_channels, shape.out_channels))


@modern
def avgpool(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Mean over k x k, padding not counted (LeCun et al., Gradient-Based Learning, 1998; in DARTS, 2019)."""
    (k,) = settings(spec, "kernel")
    return _then_widen(_mean(k, shape.stride), shape)


@modern
def maxpool(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Maximum over k x k (Zoph et al., NASNet, 2018; in DARTS, 2019)."""
    (k,) = settings(spec, "kernel")
    return _then_widen(nn.MaxPool2d(k, shape.stride, padding=k // 2), shape)


@modern
def poolformer(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Mean over k x k, then 1x1 C -> eC and 1x1 eC -> C_out (Yu et al., MetaFormer, 2022).

    The paper subtracts the input from the mean because it adds it again just after; here neither is done.
    """
    k, e = settings(spec, "kernel", "expansion")
    hidden = e * shape.in_channels
    expand = conv_bn(shape.in_channels, hidden, act=shape.activation)
    return nn.Sequential(_mean(k, shape.stride), expand, conv_bn(hidden, shape.out_channels))
