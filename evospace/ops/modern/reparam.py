"""Blocks of several linear branches that become one convolution for deployment."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.ops.layers import activation, expand_filter_project
from evospace.ops.modern.grids import modern
from evospace.ops.settings import settings
from evospace.ops.spec import BlockShape, OpSpec


class RepConv(nn.Module):
    """The sum of parallel convolutions of several kernels, and of the input, each with its BatchNorm."""

    def __init__(
        self, channels: tuple[int, int], kernels: Sequence[int], *, stride: int = 1, groups: int = 1, identity: bool
    ) -> None:
        """`channels` are those of input and output; `kernels` start with the largest."""
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(*channels, k, stride, padding=k // 2, groups=groups, bias=False) for k in kernels
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels[1]) for _ in kernels)
        self.identity = nn.BatchNorm2d(channels[1]) if identity else None

    def forward(self, images: Tensor) -> Tensor:
        """``N x C_in x H x W -> N x C_out x H' x W'``."""
        outputs = [norm(conv(images)) for conv, norm in zip(self.convs, self.norms, strict=True)]
        total: Tensor = sum(outputs[1:], outputs[0])
        return total if self.identity is None else total + self.identity(images)

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """One convolution with bias that does, in eval mode, what the sum does."""
        first = self.convs[0]
        assert isinstance(first, nn.Conv2d)
        kernel, _ = first.kernel_size
        stride, _ = first.stride
        merged = nn.Conv2d(  # not of `first`'s class: it may know no bias
            first.in_channels,
            first.out_channels,
            kernel,
            stride,
            padding=kernel // 2,
            groups=first.groups,
            device="meta",
        )
        merged.weight = nn.Parameter(torch.zeros_like(first.weight))
        merged.bias = nn.Parameter(torch.zeros_like(first.weight[:, 0, 0, 0]))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, nn.Conv2d)
            _add(merged, conv.weight, norm)
        if self.identity is not None:
            _add(merged, _one_to_one(first), self.identity)
        return merged


def _one_to_one(conv: nn.Conv2d) -> Tensor:
    """The 1 x 1 kernel of the convolution that gives its input back."""
    weight = torch.zeros_like(conv.weight[:, :, :1, :1])
    rows = torch.arange(conv.out_channels, device=weight.device)
    weight[rows, rows % weight.shape[1]] = 1.0
    return weight


def _add(merged: nn.Conv2d, weight: Tensor, norm: nn.Module) -> None:
    """Add a branch, its kernel padded to the merged one and scaled as its BatchNorm does in eval mode."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert merged.bias is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    margin = (merged.weight.shape[-1] - weight.shape[-1]) // 2
    merged.weight += functional.pad(weight * scale.view(-1, 1, 1, 1), [margin] * 4)
    merged.bias += norm.bias - norm.running_mean * scale


def has_branches(network: nn.Module) -> bool:
    """Whether `reparametrise` has something to merge in `network`."""
    return any(isinstance(module, RepConv) for module in network.modules())


def reparametrise(network: nn.Module) -> nn.Module:
    """A copy of `network` for inference, in eval mode, with every `RepConv` merged into one convolution."""
    if isinstance(network, RepConv):
        return network.merged().eval()
    copied = copy.deepcopy(network).eval()
    for name, module in list(copied.named_modules()):
        if isinstance(module, RepConv):
            copied.set_submodule(name, module.merged())
    return copied.eval()


@modern
def repvgg(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """k x k plus 1x1 plus, where shape is kept, identity; each with BatchNorm (Ding et al., RepVGG, 2021)."""
    (k,) = settings(spec, "kernel")
    channels = (shape.in_channels, shape.out_channels)
    summed = RepConv(channels, (k, 1), stride=shape.stride, identity=shape.keeps_shape)
    return nn.Sequential(summed, activation(shape.activation))


@modern
def mobileone(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """A depthwise and a pointwise `RepConv`, each followed by the activation (Vasu et al., MobileOne, 2023)."""
    (k,) = settings(spec, "kernel")
    inputs, outputs, stride = shape.in_channels, shape.out_channels, shape.stride
    deep = RepConv((inputs, inputs), (k, 1), stride=stride, groups=inputs, identity=stride == 1)
    wide = RepConv((inputs, outputs), (1,), identity=inputs == outputs)
    return nn.Sequential(deep, activation(shape.activation), wide, activation(shape.activation))


@modern
def replk(spec: OpSpec, shape: BlockShape) -> nn.Module:
    """1x1 C -> eC, depthwise k x k plus 5 x 5, 1x1 eC -> C_out (Ding et al., RepLKNet, 2022)."""
    k, e = settings(spec, "kernel", "expansion")
    assert k >= 5, "the kernel is at least 5, that of the small branch"
    hidden = e * shape.in_channels
    large = RepConv((hidden, hidden), (k, 5), stride=shape.stride, groups=hidden, identity=False)
    return expand_filter_project(spec, shape, hidden, [large, activation(shape.activation)])
