"""The parts that operations, stems and heads are made of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evospace.errors import unknown_name

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
