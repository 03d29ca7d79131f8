"""Depthwise convolutions that oneDNN is slow with, trained at a useful speed on a CPU.

Two kinds are slow, and at small resolutions they take most of the time of training (benchmarks/depthwise_gradient.py):

- A filter that reaches over the whole image: its weight gradient takes up to ten times the forward pass. Here it is two
  steps of plain tensor code.
- A dilated filter that does so, or has a stride: its gradients take a reference path. Here the image is cut into d x d
  interleaved ones, each a small image with a filter that is not dilated (the space-to-batch of Chen et al., DeepLab,
  TPAMI 2017), and the outputs are put together again. Other dilated filters are left to oneDNN, which is faster than
  that where it has AVX-512.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

LARGEST = 256
"""Pixels of the input. The product below grows with their square; beyond 16 x 16 pixels oneDNN is faster."""

Two = tuple[int, int]


def fast_depthwise(module: nn.Module) -> None:
    """Let the depthwise convolutions in `module` train so, in place.

    Names, parameters and outputs stay (up to rounding where a filter is dilated). Only what is trained is changed: a
    network that is exported is built anew.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and part.groups == part.in_channels == part.out_channels > 1 and part.bias is None:
            part.__class__ = DepthwiseConv2d


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with a filter of its own for each channel, and without bias."""

    def forward(self, input: Tensor) -> Tensor:
        """``N x C x H x W -> N x C x H' x W'``."""
        if not self._trains(input):
            return super().forward(input)
        stride, padding, dilation = (
            (int(pair[0]), int(pair[1])) for pair in (self.stride, self.padding, self.dilation)
        )
        if dilation == (1, 1):
            return _convolved(input, self.weight, stride, padding)
        reach = [d * (k - 1) for d, k in zip(dilation, self.kernel_size, strict=True)]
        beyond = any(r >= size for r, size in zip(reach, input.shape[2:], strict=True))
        even = any(k % 2 == 0 for k in self.kernel_size)
        if even or (stride == (1, 1) and not beyond) or [2 * p for p in padding] != reach:
            return super().forward(input)
        return _dilated(input, self.weight, dilation)[:, :, :: stride[0], :: stride[1]]

    def _trains(self, images: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and (self.weight.requires_grad or images.requires_grad)
            and images.dtype == self.weight.dtype == torch.float32
            and images.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not isinstance(self.padding, str)
            and self.padding_mode == "zeros"
        )


def _dilated(images: Tensor, weight: Tensor, dilation: Two) -> Tensor:
    """A dilated convolution of stride 1 that keeps the size ``N x C x H x W``.

    Every d-th row and column are an image of their own: ``N d d x C x H/d x W/d``, rounded up.
    """
    (n, c, height, width), (dy, dx) = images.shape, dilation
    h, w = -(-height // dy), -(-width // dx)
    whole = functional.pad(images, (0, w * dx - width, 0, h * dy - height)).permute(0, 2, 3, 1)
    parts = whole.reshape(n, h, dy, w, dx, c).permute(2, 4, 0, 1, 3, 5).reshape(dy * dx * n, h, w, c)
    padding = ((weight.shape[2] - 1) // 2, (weight.shape[3] - 1) // 2)
    outputs = _convolved(parts.permute(0, 3, 1, 2), weight, (1, 1), padding).permute(0, 2, 3, 1)
    joined = outputs.reshape(dy, dx, n, h, w, c).permute(2, 3, 0, 4, 1, 5).reshape(n, h * dy, w * dx, c)
    return joined.permute(0, 3, 1, 2)[:, :, :height, :width]


def _convolved(images: Tensor, weight: Tensor, stride: Two, padding: Two) -> Tensor:
    """Without dilation; the weight gradient of a filter that reaches over a small image is computed here."""
    height, width = images.shape[2:]
    overlaps = weight.shape[2] > height or weight.shape[3] > width
    if overlaps and height * width <= LARGEST and weight.requires_grad:
        output: Tensor = _Depthwise.apply(images, weight, stride, padding)
        return output
    return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: Two, padding: Two) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.settings = stride, padding
        return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        stride, padding = ctx.settings
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:  # `torch.nn.grad.conv2d_input` forgets the images' layout, which halves the speed
            of_images, _, _ = torch.ops.aten.convolution_backward(
                gradient,
                images,
                weight,
                None,
                stride,
                padding,
                (1, 1),
                False,
                (0, 0),
                len(weight),
                (True, False, False),
            )
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(images, gradient, weight.shape[2:], stride, padding)
        return of_images, of_weight, None, None


def weight_gradient(images: Tensor, gradient: Tensor, kernel: torch.Size, stride: Two, padding: Two) -> Tensor:
    """Gradient ``C x 1 x kh x kw`` of a depthwise filter.

    `images` ``N x C x H x W`` are its input, `gradient` ``N x C x H' x W'`` the gradient of its output. Per channel,
    the product over the batch of every input pixel with every output pixel; then the sum over those pairs of pixels
    that one tap of the filter connects.
    """
    (height, width), (out_height, out_width) = images.shape[2:], gradient.shape[2:]
    channels = images.shape[1]
    taps = _taps((height, width), (out_height, out_width), (kernel[0], kernel[1]), stride, padding)
    pixels = _by_channel(images).reshape(channels, len(images), -1)
    outputs = _by_channel(gradient).reshape(channels, len(images), -1)
    products = torch.bmm(pixels.transpose(1, 2), outputs).reshape(channels, -1)
    sums = products.new_zeros(channels, kernel.numel() + 1).index_add_(1, taps, products)
    return sums[:, :-1].reshape(channels, 1, *kernel)


def _by_channel(images: Tensor) -> Tensor:
    """``N x C x H x W`` to ``C x N H W``, in one transposition: `bmm` would copy channel by channel."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1]).t().contiguous()


@lru_cache(maxsize=1024)
def _taps(size: Two, out_size: Two, kernel: Two, stride: Two, padding: Two) -> Tensor:
    """``[H W H' W']`` the tap that connects an input pixel with an output pixel; the number of taps where none does."""
    tap = [torch.arange(size[i])[:, None] + padding[i] - stride[i] * torch.arange(out_size[i])[None] for i in range(2)]
    valid = [(tap[i] >= 0) & (tap[i] < kernel[i]) for i in range(2)]
    index = tap[0][:, None, :, None] * kernel[1] + tap[1][None, :, None, :]
    connected = valid[0][:, None, :, None] & valid[1][None, :, None, :]
    return torch.where(connected, index, kernel[0] * kernel[1]).reshape(-1)
