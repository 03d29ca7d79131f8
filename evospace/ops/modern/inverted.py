"""Inverted bottlenecks and their relatives: the channels are widest in the middle.

Every convolution is followed by BatchNorm. C are the block's input channels, k the kernel, e the expansion.
"""

from torch import nn

from evospace.ops.layers import (
    EfficientChannelAttention,
    SqueezeExcite,
    conv_bn,
    depthwise,
    downsample,
    expand_filter_project,
)
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


@modern
def mbconv_eca(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """`mbconv` with efficient channel attention (Wang et al., ECA-Net, 2020): 1x1, depthwise k x k, ECA, 1x1."""
    k, e = settings(spec, "kernel", "expansion")
    hidden = e * shape.in_channels
    filters = depthwise(hidden, k, stride=shape.stride, act=shape.activation)
    return expand_filter_project(spec, shape, hidden, [filters, EfficientChannelAttention(hidden)])


@modern
def fused_mbconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Dense k x k C -> eC with stride, 1x1 eC -> C_out (Tan and Le, EfficientNetV2, 2021); also at e = 1."""
    k, e = settings(spec, "kernel", "expansion")
    hidden, act = e * shape.in_channels, shape.activation
    gate = [SqueezeExcite(hidden, act)] if spec.se else []
    dense = conv_bn(shape.in_channels, hidden, k, stride=shape.stride, act=act)
    return nn.Sequential(dense, *gate, conv_bn(hidden, shape.out_channels))


def _expand_project(shape: BlockShape, e: int) -> tuple[nn.Module, nn.Module]:
    hidden = e * shape.in_channels
    return conv_bn(shape.in_channels, hidden, act=shape.activation), conv_bn(hidden, shape.out_channels)


@modern
def uib_extra(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Universal inverted bottleneck, extra depthwise (Qin et al., MobileNetV4, 2024).

    Depthwise k x k without activation, 1x1 C -> eC, depthwise k x k with stride, 1x1 eC -> C_out.
    """
    k, e = settings(spec, "kernel", "expansion")
    expand, project = _expand_project(shape, e)
    middle = depthwise(e * shape.in_channels, k, stride=shape.stride, act=shape.activation)
    return nn.Sequential(depthwise(shape.in_channels, k), expand, middle, project)


@modern
def uib_convnext(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Universal inverted bottleneck, ConvNext-like (Qin et al., MobileNetV4, 2024).

    Depthwise k x k with stride and without activation, 1x1 C -> eC, 1x1 eC -> C_out.
    """
    k, e = settings(spec, "kernel", "expansion")
    return nn.Sequential(depthwise(shape.in_channels, k, stride=shape.stride), *_expand_project(shape, e))


@modern
def uib_ffn(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Universal inverted bottleneck, FFN (Qin et al., MobileNetV4, 2024): 1x1 C -> eC, 1x1 eC -> C_out."""
    (e,) = settings(spec, "expansion")
    return nn.Sequential(downsample(shape.stride), *_expand_project(shape, e))


@modern
def sandglass(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """The sandglass block (Zhou et al., MobileNeXt, 2020), an inverted bottleneck turned round; e divides.

    Depthwise k x k, 1x1 C -> C/e without activation, 1x1 C/e -> C_out, depthwise k x k with stride.
    """
    k, e = settings(spec, "kernel", "expansion")
    act, inputs, outputs = shape.activation, shape.in_channels, shape.out_channels
    narrow = max(inputs // e, 4)
    return nn.Sequential(
        depthwise(inputs, k, act=act),
        conv_bn(inputs, narrow),
        conv_bn(narrow, outputs, act=act),
        depthwise(outputs, k, stride=shape.stride),
    )


@modern
def sepconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Twice depthwise k x k and 1x1, the stride on the first (Liu et al., DARTS, 2019, after NASNet)."""
    (k,) = settings(spec, "kernel")
    act, inputs, outputs = shape.activation, shape.in_channels, shape.out_channels
    first = [depthwise(inputs, k, stride=shape.stride), conv_bn(inputs, inputs, act=act)]
    return nn.Sequential(*first, depthwise(inputs, k), conv_bn(inputs, outputs))


@modern
def dilconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Dilated depthwise k x k with stride, 1x1 (Liu et al., DARTS, 2019)."""
    k, d = settings(spec, "kernel", "dilation")
    spread = depthwise(shape.in_channels, k, stride=shape.stride, dilation=d, act=shape.activation)
    return nn.Sequential(spread, conv_bn(shape.in_channels, shape.out_channels))
