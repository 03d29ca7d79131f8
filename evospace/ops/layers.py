"""The parts that operations, stems and heads are made of."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from evospace.errors import unknown_name
from evospace.ops.spec import BlockShape, OpSpec

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
}


def activation(name: str) -> nn.Module:
    """A new activation module; raises `UsageError` for an unknown name."""
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    groups: int = 1,
    act: str | None = None,
) -> nn.Sequential:
    """Convolution without bias, BatchNorm and, where `act` names one, an activation.

    Padding is "same": a stride s maps H to ceil(H/s). Shapes: ``N x in x H x W -> N x out x H/s x W/s``.
    """
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (height, width),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    parts: list[nn.Module] = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*parts, *([activation(act)] if act else []))


def depthwise(
    channels: int, kernel: int | tuple[int, int], *, stride: int = 1, dilation: int = 1, act: str | None = None
) -> nn.Sequential:
    """`conv_bn` with a filter of its own for each channel."""
    return conv_bn(channels, channels, kernel, stride=stride, dilation=dilation, groups=channels, act=act)


def downsample(stride: int) -> nn.Module:
    """For blocks published without a stride of their own: 2 x 2 means at stride 2, H to ceil(H/2)."""
    return nn.Identity() if stride == 1 else nn.AvgPool2d(stride, ceil_mode=True)


def expand_filter_project(spec: OpSpec, shape: BlockShape, hidden: int, filters: Sequence[nn.Module]) -> nn.Module:
    """1x1 to `hidden` channels (groups g1), the filters, optional SE, 1x1 to the output (groups g2)."""
    act = shape.activation
    gate = [SqueezeExcite(hidden, act)] if spec.se else []
    return nn.Sequential(
        conv_bn(shape.in_channels, hidden, groups=spec.groups[0], act=act),
        *filters,
        *gate,
        conv_bn(hidden, shape.out_channels, groups=spec.groups[1]),
    )


class SqueezeExcite(nn.Module):
    """Channel attention (Hu et al., Squeeze-and-Excitation Networks, 2018), ``N x C x H x W`` to the same."""

    def __init__(self, channels: int, act: str, reduction: int = 4) -> None:
        """`reduction` 4 is the method's setting: C channels squeeze to C // 4 (at least 1)."""
        super().__init__()
        squeezed = max(channels // reduction, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            activation(act),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scale each channel by its gate in (0, 1)."""
        return torch.mul(images, self.gate(images))


class EfficientChannelAttention(nn.Module):
    """Channel attention by one 1-d convolution over the channels' means (Wang et al., ECA-Net, 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = eca_kernel(channels)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scale each channel by its gate in (0, 1)."""
        means = images.mean((2, 3)).unsqueeze(1)
        gate: Tensor = self.conv(means).sigmoid()
        return images * gate.transpose(1, 2).unsqueeze(3)


def eca_kernel(channels: int) -> int:
    """The paper's rule with gamma = 2 and b = 1: |log2(C)/2 + 1/2|, cut off, then up to the next odd number."""
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


class Split(nn.Module):
    """Cut the channels into parts, give each to its own branch, and put the results side by side."""

    def __init__(self, sizes: Sequence[int], branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        """``N x sum(sizes) x H x W`` to the branches' outputs, concatenated."""
        parts = torch.split(images, self.sizes, dim=1)
        return torch.cat([branch(part) for branch, part in zip(self.branches, parts, strict=True)], dim=1)


class Concat(nn.Module):
    """Give the same input to every branch and put the results side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W`` to the branches' outputs, concatenated."""
        return torch.cat([branch(images) for branch in self.branches], dim=1)
