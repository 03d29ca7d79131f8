"""Depthwise convolutions whose filters are larger than the image, or dilated, trained at a useful speed on a CPU.

The weight gradient of such a convolution takes oneDNN's reference path: ten times as long as the forward pass, or
more. At small resolutions most of a pool's depthwise filters are of that kind, and most of the time of training goes
there. Here the same gradient is two steps of plain tensor code (what that saves: benchmarks/depthwise_gradient.py).
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

LARGEST = 256
"""Pixels of the input. The product below grows with their square; beyond 16 x 16 pixels oneDNN is faster."""

LARGEST_DILATED = 64
"""The same for a dilated filter that is smaller than the image: oneDNN loses less there."""

Two = tuple[int, int]


def fast_depthwise(module: nn.Module) -> None:
    """Let the depthwise convolutions in `module` compute their weight gradient so, in place.

    Names, parameters and outputs stay. Only what is trained is changed: a network that is exported is built anew.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and part.groups == part.in_channels == part.out_channels > 1 and part.bias is None:
            part.__class__ = DepthwiseConv2d


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with a filter of its own for each channel, and without bias."""

    def forward(self, input: Tensor) -> Tensor:
        """``N x C x H x W -> N x C x H' x W'``."""
        if not self._reference_path(input):
            return super().forward(input)
        settings = [(int(pair[0]), int(pair[1])) for pair in (self.stride, self.padding, self.dilation)]
        output: Tensor = _Depthwise.apply(input, self.weight, *settings)
        return output

    def _reference_path(self, images: Tensor) -> bool:
        """Whether oneDNN would be slow: a filter reaches over the whole image, or is dilated."""
        height, width = images.shape[2:]
        pairs = zip(self.kernel_size, self.dilation, (height, width), strict=True)
        overlaps = any(d * (k - 1) + 1 > size for k, d, size in pairs)
        dilated = max(self.dilation) > 1
        return (
            torch.is_grad_enabled()
            and self.weight.requires_grad
            and images.dtype == self.weight.dtype == torch.float32
            and images.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not isinstance(self.padding, str)
            and self.padding_mode == "zeros"
            and ((overlaps and height * width <= LARGEST) or (dilated and height * width <= LARGEST_DILATED))
        )


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: Two, padding: Two, dilation: Two) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.settings = stride, padding, dilation
        return functional.conv2d(images, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            stride, padding, dilation = ctx.settings
            of_images = conv2d_input(images.shape, weight, gradient, stride, padding, dilation, len(weight))  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(images, gradient, weight.shape[2:], *ctx.settings)
        return of_images, of_weight, None, None, None


def weight_gradient(
    images: Tensor, gradient: Tensor, kernel: torch.Size, stride: Two, padding: Two, dilation: Two
) -> Tensor:
    """Gradient ``C x 1 x kh x kw`` of a depthwise filter.

    `images` ``N x C x H x W`` are its input, `gradient` ``N x C x H' x W'`` the gradient of its output. Per channel,
    the product over the batch of every input pixel with every output pixel; then the sum over those pairs of pixels
    that one tap of the filter connects.
    """
    (height, width), (out_height, out_width) = images.shape[2:], gradient.shape[2:]
    channels = images.shape[1]
    taps = _taps((height, width), (out_height, out_width), (kernel[0], kernel[1]), stride, padding, dilation)
    pixels = images.permute(1, 2, 3, 0).reshape(channels, height * width, -1)
    outputs = gradient.permute(1, 2, 3, 0).reshape(channels, out_height * out_width, -1)
    products = torch.bmm(pixels, outputs.transpose(1, 2)).reshape(channels, -1)
    sums = products.new_zeros(channels, kernel.numel() + 1).index_add_(1, taps, products)
    return sums[:, :-1].reshape(channels, 1, *kernel)


@lru_cache(maxsize=1024)
def _taps(size: Two, out_size: Two, kernel: Two, stride: Two, padding: Two, dilation: Two) -> Tensor:
    """``[H W H' W']`` the tap that connects an input pixel with an output pixel; the number of taps where none does."""
    along = [
        torch.arange(size[i])[:, None] + padding[i] - stride[i] * torch.arange(out_size[i])[None] for i in range(2)
    ]
    tap = [along[i].div(dilation[i], rounding_mode="floor") for i in range(2)]
    valid = [(along[i] % dilation[i] == 0) & (tap[i] >= 0) & (tap[i] < kernel[i]) for i in range(2)]
    index = tap[0][:, None, :, None] * kernel[1] + tap[1][None, :, None, :]
    connected = valid[0][:, None, :, None] & valid[1][None, :, None, :]
    return torch.where(connected, index, kernel[0] * kernel[1]).reshape(-1)
