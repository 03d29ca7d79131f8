"""Blocks that treat parts of the channels differently: GhostNet, ShuffleNetV2, MixConv, FasterNet, InceptionNeXt.

C are the block's input channels, k the kernel, e the expansion.
"""

from torch import Tensor, nn

from evospace.ops.layers import Concat, Split, SqueezeExcite, conv_bn, depthwise, downsample, expand_filter_project
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


def _ghost_module(inputs: int, outputs: int, k: int, act: str | None) -> nn.Module:
    """Half of the output by a 1x1 convolution, the other half from that by a cheap depthwise k x k."""
    assert outputs % 2 == 0, "the channels must be even"
    half = outputs // 2
    return nn.Sequential(conv_bn(inputs, half, act=act), Concat(nn.Identity(), depthwise(half, k, act=act)))


@modern
def ghost(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """The Ghost bottleneck (Han et al., GhostNet, 2020).

    Ghost module C -> eC, depthwise k x k where there is a stride, optional SE, ghost module eC -> C_out.
    """
    k, e = settings(spec, "kernel", "expansion")
    hidden, act = e * shape.in_channels, shape.activation
    stride = [depthwise(hidden, k, stride=shape.stride)] if shape.stride > 1 else []
    gate = [SqueezeExcite(hidden, act)] if spec.se else []
    expand = _ghost_module(shape.in_channels, hidden, k, act)
    return nn.Sequential(expand, *stride, *gate, _ghost_module(hidden, shape.out_channels, k, None))


class ChannelShuffle(nn.Module):
    """Take channels from the first and the second half in turn (Zhang et al., ShuffleNet, 2018)."""

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W`` to the same: channels 0, C/2, 1, C/2 + 1, ..."""
        halves = images.reshape(images.shape[0], 2, -1, *images.shape[2:])
        return halves.transpose(1, 2).flatten(1, 2)


def _two_branches(shape: BlockShape, k: int, right: list[nn.Module]) -> nn.Module:
    """Half of the channels pass; where the shape changes both branches see all, and the left one filters too."""
    if shape.keeps_shape:
        half = shape.in_channels // 2
        return nn.Sequential(Split((half, half), (nn.Identity(), nn.Sequential(*right))), ChannelShuffle())
    left = nn.Sequential(
        depthwise(shape.in_channels, k, stride=shape.stride),
        conv_bn(shape.in_channels, shape.out_channels // 2, act=shape.activation),
    )
    return nn.Sequential(Concat(left, nn.Sequential(*right)), ChannelShuffle())


def _right_input(shape: BlockShape) -> int:
    assert shape.in_channels % 2 == shape.out_channels % 2 == 0, "the channels must be even"
    return shape.in_channels // 2 if shape.keeps_shape else shape.in_channels


@modern
def shufflev2(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """The ShuffleNetV2 unit (Ma et al., 2018): 1x1, depthwise k x k, 1x1 on half of the channels, then shuffle."""
    k, e = settings(spec, "kernel", "expansion")
    inputs, half, act = _right_input(shape), shape.out_channels // 2, shape.activation
    filters = depthwise(e * half, k, stride=shape.stride)
    return _two_branches(shape, k, [conv_bn(inputs, e * half, act=act), filters, conv_bn(e * half, half, act=act)])


@modern
def shufflev2_xception(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """A ShuffleNetV2 unit whose branch is three times depthwise k x k and 1x1 (Guo et al., SPOS, 2020)."""
    (k,) = settings(spec, "kernel")
    inputs, half, act = _right_input(shape), shape.out_channels // 2, shape.activation
    right: list[nn.Module] = []
    for channels, stride in ((inputs, shape.stride), (half, 1), (half, 1)):
        right += [depthwise(channels, k, stride=stride), conv_bn(channels, half, act=act)]
    return _two_branches(shape, k, right)


def mixed_sizes(channels: int, parts: int) -> list[int]:
    """`channels` in equal parts; the first, with the smallest kernel, takes what is left over."""
    size = channels // parts
    return [channels - (parts - 1) * size, *[size] * (parts - 1)]


@modern
def mixconv(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, depthwise 3 x 3, 5 x 5, ..., k x k on equal parts, 1x1 eC -> C_out (Tan and Le, MixConv, 2019)."""
    k, e = settings(spec, "kernel", "expansion")
    assert k >= 3, "the kernel is at least 3"
    hidden, kernels = e * shape.in_channels, range(3, k + 1, 2)
    sizes = mixed_sizes(hidden, len(kernels))
    parts = [depthwise(c, n, stride=shape.stride, act=shape.activation) for c, n in zip(sizes, kernels, strict=True)]
    return expand_filter_project(spec, shape, hidden, [Split(sizes, parts)])


@modern
def fasternet(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Partial convolution (Chen et al., FasterNet, 2023), then 1x1 C -> eC and 1x1 eC -> C_out.

    A dense k x k convolution sees the first quarter of the channels; the others pass untouched.
    """
    k, e = settings(spec, "kernel", "expansion")
    channels, quarter = shape.in_channels, shape.in_channels // 4
    assert quarter, "a quarter of the channels is at least one"
    dense = nn.Conv2d(quarter, quarter, k, padding=k // 2, bias=False)
    return nn.Sequential(
        downsample(shape.stride),
        Split((quarter, channels - quarter), (dense, nn.Identity())),
        conv_bn(channels, e * channels, act=shape.activation),
        conv_bn(e * channels, shape.out_channels),
    )


@modern
def inceptionnext(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Inception depthwise (Yu et al., InceptionNeXt, 2024), then 1x1 C -> eC and 1x1 eC -> C_out.

    An eighth of the channels each gets depthwise 3 x 3, 1 x k and k x 1; the others pass.
    """
    k, e = settings(spec, "kernel", "expansion")
    channels, part = shape.in_channels, shape.in_channels // 8
    sizes = ((3, 3), (1, k), (k, 1))
    filters = [nn.Conv2d(part, part, s, padding=(s[0] // 2, s[1] // 2), groups=part, bias=False) for s in sizes]
    return nn.Sequential(
        downsample(shape.stride),
        Split((channels - 3 * part, part, part, part), [nn.Identity(), *filters]),
        nn.BatchNorm2d(channels),
        conv_bn(channels, e * channels, act=shape.activation),
        conv_bn(e * channels, shape.out_channels),
    )
