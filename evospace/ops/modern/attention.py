"""Attention whose cost is linear in the number of pixels."""

from torch import Tensor, nn
from torch.nn import functional

from evospace.ops.layers import conv_bn, downsample
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec

HEAD = 8
"""Channels per head: every width that is a multiple of 8 can be cut."""


class PooledAttention(nn.Module):
    """Attention from every pixel to the means of at most `grid` x `grid` regions.

    Where the image is no larger than the grid, that is attention to every pixel.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, grid: int) -> None:
        super().__init__()
        assert hidden % HEAD == 0, f"heads have {HEAD} channels each"
        self.grid = grid
        self.query = conv_bn(inputs, hidden)
        self.key_value = conv_bn(inputs, 2 * hidden)
        self.project = conv_bn(hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """``N x inputs x H x W -> N x outputs x H x W``."""
        height, width = images.shape[2:]
        regions = functional.adaptive_avg_pool2d(images, (min(height, self.grid), min(width, self.grid)))
        keys, values = self.key_value(regions).chunk(2, dim=1)
        seen = functional.scaled_dot_product_attention(_heads(self.query(images)), _heads(keys), _heads(values))
        mixed: Tensor = self.project(seen.transpose(2, 3).reshape(images.shape[0], -1, height, width))
        return mixed

    def extra_repr(self) -> str:
        """What the layers inside do not show."""
        return f"grid={self.grid}"


def _heads(images: Tensor) -> Tensor:
    """``N x C x H x W -> N x C/8 x HW x 8``."""
    return images.reshape(images.shape[0], -1, HEAD, images.shape[2] * images.shape[3]).transpose(2, 3)


@modern
def attention(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Multi-head attention, eC wide (Vaswani et al., Attention Is All You Need, 2017).

    Keys and values come from k x k means, as in Wang et al., PVT v2, 2022.
    """
    k, e = settings(spec, "kernel", "expansion")
    mix = PooledAttention(shape.in_channels, e * shape.in_channels, shape.out_channels, k)
    return nn.Sequential(downsample(shape.stride), mix)


class AddInput(nn.Module):
    """A branch plus its input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W`` to the same."""
        branch: Tensor = self.branch(images)
        return images + branch


@modern
def pvt(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """Attention plus its input, then 1x1 C -> eC, depthwise 3 x 3, 1x1 eC -> C_out (Wang et al., PVT v2, 2022)."""
    k, e = settings(spec, "kernel", "expansion")
    channels, hidden, act = shape.in_channels, e * shape.in_channels, shape.activation
    return nn.Sequential(
        downsample(shape.stride),
        AddInput(PooledAttention(channels, channels, channels, k)),
        conv_bn(channels, hidden),
        conv_bn(hidden, hidden, 3, groups=hidden, act=act),
        conv_bn(hidden, shape.out_channels),
    )
