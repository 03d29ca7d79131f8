"""Involution: a kernel that depends on the pixel and is shared by channels."""

from torch import Tensor, nn
from torch.nn import functional

from evospace.ops.layers import activation, conv_bn, downsample, expand_filter_project
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec

GROUP = 8
"""Channels that share a kernel: every width that is a multiple of 8 can be cut."""
LARGEST = 63
"""Of kernels: names come from files, and the passes grow with its square. The largest of the pools are far below."""


class Involution(nn.Module):
    """Each output pixel is the sum of its k x k surroundings weighted by a kernel computed from the pixel."""

    def __init__(self, channels: int, kernel: int, stride: int, act: str) -> None:
        super().__init__()
        assert channels % GROUP == 0, f"groups have {GROUP} channels each"
        assert kernel <= LARGEST, f"a kernel is at most {LARGEST}: each of its pixels is a pass"
        self.kernel, self.stride, self.groups = kernel, stride, channels // GROUP
        self.weights = nn.Sequential(
            downsample(stride),
            conv_bn(channels, channels // 4, act=act),
            nn.Conv2d(channels // 4, self.groups * kernel * kernel, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """``N x C x H x W -> N x C x ceil(H/s) x ceil(W/s)``. One pass per offset, so that nothing is unfolded."""
        weights = self.weights(images).unflatten(1, (self.groups, 1, -1))
        padded = functional.pad(images, [self.kernel // 2] * 4)
        total: Tensor | None = None
        for offset in range(self.kernel**2):
            part = self._window(padded, offset, images) * weights[:, :, :, offset]
            total = part if total is None else total + part
        assert total is not None
        return total.flatten(1, 2)

    def _window(self, padded: Tensor, offset: int, images: Tensor) -> Tensor:
        """The pixels that lie `offset` (row-wise) in the surroundings of each output pixel, cut into groups."""
        row, column = divmod(offset, self.kernel)
        height, width = images.shape[2:]
        window = padded[:, :, row : row + height : self.stride, column : column + width : self.stride]
        return window.reshape(window.shape[0], self.groups, GROUP, *window.shape[2:])


@modern
def involution(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, involution k x k with stride, 1x1 eC -> C_out (Li et al., Involution, 2021)."""
    k, e = settings(spec, "kernel", "expansion")
    hidden = e * shape.in_channels
    filters = Involution(hidden, k, shape.stride, shape.activation)
    return expand_filter_project(spec, shape, hidden, [filters, nn.BatchNorm2d(hidden), activation(shape.activation)])
