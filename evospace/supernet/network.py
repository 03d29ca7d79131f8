"""A plain network: stem, blocks, head. What a search returns and what is retrained and exported."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from evospace.errors import UsageError
from evospace.ops.build import build_op
from evospace.ops.layers import activation, conv_bn
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton


def make_stem(skeleton: Skeleton) -> nn.Sequential:
    """3x3 convolution, BatchNorm, activation: ``N x colours x S x S -> N x stem_channels x S' x S'``."""
    return conv_bn(
        skeleton.image_channels,
        skeleton.stem_channels,
        3,
        stride=skeleton.stem_stride,
        act=skeleton.activation,
    )


def make_head(skeleton: Skeleton, classes: int) -> nn.Sequential:
    """Bias-free 1x1 convolution, activation, global average, linear: ``N x C x H x W -> N x classes``."""
    return nn.Sequential(
        nn.Conv2d(skeleton.final_channels, skeleton.head_channels, 1, bias=False),
        activation(skeleton.activation),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(skeleton.head_channels, classes),
    )


def mean_of(outputs: list[Tensor]) -> Tensor:
    """Plain mean of equally shaped tensors (one tensor is returned as it is)."""
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total if len(outputs) == 1 else total / len(outputs)


class Block(nn.Module):
    """Mean over the outputs of the operations, and of the input itself where the block keeps shape."""

    def __init__(self, specs: Sequence[OpSpec], shape: BlockShape) -> None:
        """`specs` may be empty where the block keeps shape; raises `UsageError` elsewhere."""
        super().__init__()
        if not specs and not shape.keeps_shape:
            raise UsageError("a reduction block needs at least one operation")
        self.keeps_shape = shape.keeps_shape
        self.ops = nn.ModuleDict({spec.name: build_op(spec, shape) for spec in specs})

    def forward(self, images: Tensor) -> Tensor:
        """``N x C_in x H x W -> N x C_out x H' x W'``."""
        outputs = [op(images) for op in self.ops.values()]
        return mean_of([*outputs, images] if self.keeps_shape else outputs)


class Network(nn.Module):
    """One architecture as a network of its own: images ``N x C x S x S`` to logits ``N x classes``."""

    def __init__(self, skeleton: Skeleton, architecture: Architecture, classes: int) -> None:
        """Raises `UsageError` where the architecture does not fit the skeleton."""
        super().__init__()
        shapes = skeleton.blocks()
        if len(shapes) != len(architecture.blocks):
            raise UsageError(
                f"the architecture has {len(architecture.blocks)} blocks, skeleton {skeleton.name} {len(shapes)}"
            )
        self.stem = make_stem(skeleton)
        self.blocks = nn.Sequential(
            *(
                Block([OpSpec.parse(name) for name in names], shape)
                for names, shape in zip(architecture.blocks, shapes, strict=True)
            )
        )
        self.head = make_head(skeleton, classes)
        self.feature_info = pyramid_levels(skeleton)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.forward_features(images))
        return logits

    def forward_features(self, images: Tensor) -> Tensor:
        """What enters the head: ``N x C x S x S`` to the output of the last block."""
        features: Tensor = self.blocks(self.stem(images))
        return features

    def forward_pyramid(self, images: Tensor) -> list[Tensor]:
        """Feature maps for detectors and segmenters, finest first, one for each entry of `feature_info`.

        A map is ``N x channels x S/reduction x S/reduction``, rounded up at each halving.
        """
        wanted = [level["module"] for level in self.feature_info]
        features = self.stem(images)
        maps = [features] if "stem" in wanted else []
        for i, block in enumerate(self.blocks):
            features = block(features)
            if f"blocks.{i}" in wanted:
                maps.append(features)
        return maps


def pyramid_levels(skeleton: Skeleton) -> list[dict[str, str | int]]:
    """The last output before each halving of the resolution, and the last of all.

    Each as `module` (`stem` or `blocks.i`), `channels` and `reduction` (image pixels per feature pixel).
    """
    levels: list[dict[str, str | int]] = []
    level: dict[str, str | int] = {
        "module": "stem",
        "channels": skeleton.stem_channels,
        "reduction": skeleton.stem_stride,
    }
    reduction = skeleton.stem_stride
    for i, shape in enumerate(skeleton.blocks()):
        if shape.stride > 1:
            levels.append(level)
        reduction *= shape.stride
        level = {"module": f"blocks.{i}", "channels": shape.out_channels, "reduction": reduction}
    return [*levels, level]


Made = TypeVar("Made", bound=nn.Module)


def drawn(make: Callable[[], Made], generator: torch.Generator) -> Made:
    """What `make` makes with all its weights drawn by `initialise`.

    What a user's operation draws in its constructor, a buffer for one, is fixed by the generator's seed too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())
        network = make()
    initialise(network, generator)
    return network


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights in place, in the order of the parameters' names, from `generator` alone.

    Convolutions: normal with fan-out variance (He et al., 2015); linear layers: normal with standard
    deviation 0.01; BatchNorm: 1 and 0; other biases 0. What else a module holds stays as its constructor made it.
    """
    ours = layers_parameters(network)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            if id(parameter) not in ours:
                continue
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                draw = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(draw * deviation(parameter))


def layers_parameters(module: nn.Module) -> set[int]:
    """The `id` of each parameter of a convolution, linear layer or BatchNorm in `module`: those that are drawn here."""
    layers = [m for m in module.modules() if isinstance(m, _ConvNd | nn.Linear | _BatchNorm)]
    return {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}


def deviation(parameter: Tensor) -> float:
    """Standard deviation that a weight of at least 2 dimensions is drawn with: see `initialise`."""
    if parameter.ndim == 2:
        return 0.01
    fan_out = parameter.shape[0] * parameter[0, 0].numel()
    return float((2.0 / fan_out) ** 0.5)


def drop_paths(network: Network, most: float) -> None:
    """Drop operations' outputs in shape-keeping blocks, per image, while the network trains.

    The probability grows from 0 at the first to `most` at the last block.
    """
    from torchvision.ops import stochastic_depth  # takes seconds

    last = max(len(network.blocks) - 1, 1)
    for i, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        rate = most * i / last
        if rate and block.keeps_shape:
            for op in block.ops.values():
                op.register_forward_hook(
                    lambda module, _, output, p=rate: stochastic_depth(output, p, "row", module.training)
                )
