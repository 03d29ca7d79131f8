"""Blocks around one large depthwise kernel: ConvNeXt, StarNet, large kernel attention.

C are the block's input channels, k the kernel, e the expansion.
"""

import torch
from torch import Tensor, nn

from evospace.ops.layers import activation, conv_bn, depthwise, downsample
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


def _convnext(spec: OpSpec, shape: BlockShape, *, responses: bool) -> nn.Module:
    k, e = settings(spec, "kernel", "expansion")
    channels, hidden = shape.in_channels, e * shape.in_channels
    normalise = [GlobalResponseNorm(hidden)] if responses else []
    return nn.Sequential(
        depthwise(channels, k, stride=shape.stride),
        nn.Conv2d(channels, hidden, 1),
        activation(shape.activation),
        *normalise,
        conv_bn(hidden, shape.out_channels),
    )


@modern
def convnext(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Depthwise k x k with stride, norm, 1x1 C -> eC, activation, 1x1 eC -> C_out (Liu et al., ConvNeXt, 2022).

    The last BatchNorm's weight, 1 at the start, stands where the paper has a layer scale.
    """
    return _convnext(spec, shape, responses=False)


@modern
def convnextv2(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """`convnext` with global response normalisation after the activation (Woo et al., ConvNeXt V2, 2023)."""
    return _convnext(spec, shape, responses=True)


class GlobalResponseNorm(nn.Module):
    """Scale each channel by its norm over the image, relative to the mean norm of all channels; add the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W`` to the same."""
        norms: Tensor = torch.linalg.vector_norm(images, dim=(2, 3), keepdim=True)
        relative = norms / (norms.mean(1, keepdim=True) + 1e-6)
        scale, shift = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        scaled: Tensor = images * (1.0 + scale * relative) + shift
        return scaled


class Star(nn.Module):
    """The product of two 1x1 convolutions of the input, one of them activated."""

    def __init__(self, inputs: int, hidden: int, act: str) -> None:
        super().__init__()
        self.active = nn.Sequential(nn.Conv2d(inputs, hidden, 1), activation(act))
        self.linear = nn.Conv2d(inputs, hidden, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``N x inputs x H x W -> N x hidden x H x W``."""
        return torch.mul(self.active(images), self.linear(images))


@modern
def starnet(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Depthwise k x k with stride, star C -> eC, 1x1 eC -> C_out, depthwise k x k (Ma et al., StarNet, 2024)."""
    k, e = settings(spec, "kernel", "expansion")
    hidden = e * shape.in_channels
    return nn.Sequential(
        depthwise(shape.in_channels, k, stride=shape.stride),
        Star(shape.in_channels, hidden, shape.activation),
        conv_bn(hidden, shape.out_channels),
        depthwise(shape.out_channels, k),
    )


class LargeKernelAttention(nn.Module):
    """The input times what a large, decomposed kernel sees around each pixel."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        near, far = depthwise(channels, 2 * dilation - 1), depthwise(channels, kernel, dilation=dilation)
        self.context = nn.Sequential(near, far, conv_bn(channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W`` to the same."""
        return torch.mul(images, self.context(images))


@modern
def lka(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, large kernel attention, 1x1 eC -> C_out (Guo et al., Visual Attention Network, 2023).

    Depthwise 2d-1, then depthwise k with dilation d, see as far as a kernel of kd+d-1; the paper has k = 7, d = 3.
    """
    k, e, d = settings(spec, "kernel", "expansion", "dilation")
    hidden = e * shape.in_channels
    return nn.Sequential(
        downsample(shape.stride),
        conv_bn(shape.in_channels, hidden, act=shape.activation),
        LargeKernelAttention(hidden, k, d),
        conv_bn(hidden, shape.out_channels),
    )
