"""Small networks to export."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from evospace.deploy.prepare import logits_of, prepare, probe_images
from evospace.deploy.subject import Shipped, Subject, costs_of
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS
from evospace.ops.spec import BlockShape, OpSpec
from evospace.runs.network_file import TrainedNetwork, save_network
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network

SHAPE = BlockShape(in_channels=16, out_channels=16, stride=1, resolution=8)
assert build_op(OpSpec.parse("basic_k3"), SHAPE)  # importing it has registered the kinds
SHIPPED = [kind.specs[0].name for kind in KINDS.values() if kind.source_sha256 is None and kind.specs]


def described_of(blocks: Sequence[Sequence[str]], *, channels: int = 3, classes: int = 5) -> DescribedNetwork:
    """A network for 8 x 8 pixels; the blocks given are repeated until there are enough."""
    skeleton = make_skeleton("small8", image_size=8, image_channels=channels)
    count = len(skeleton.blocks())
    return DescribedNetwork(
        name="runs/small/front.json#1",
        skeleton=skeleton,
        architecture=Architecture.of([blocks[i % len(blocks)] for i in range(count)]),
        class_names=tuple(f"class {i}" for i in range(classes)),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        data="digits",
    )


def trained(described: DescribedNetwork) -> Network:
    """In eval mode, with BatchNorm statistics and weights far from 0 and 1."""
    generator = torch.Generator().manual_seed(3)
    network = Network(described.skeleton, described.architecture, described.classes)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_(generator=generator)
                part.running_var.uniform_(0.5, 2.0, generator=generator)
                part.weight.uniform_(0.5, 1.5, generator=generator)
                part.bias.normal_(generator=generator)
        for parameter in network.parameters():
            if parameter.ndim == 1 and not parameter.any():
                parameter.normal_(generator=generator)
    return network.eval()


def subject_of(described: DescribedNetwork, network: nn.Module | None = None) -> Subject:
    return Subject(described=described, network=network or trained(described), trained=True, training={"epochs": 3})


def shipped_of(subject: Subject, *, fold_bn: bool = False) -> tuple[Shipped, torch.Tensor, torch.Tensor]:
    """As the command makes it, with images and the source network's logits of them."""
    images = probe_images(subject.described.input_shape)
    network = prepare(subject.network, images, fold_bn=fold_bn).network
    costs = costs_of(network, subject.described.input_shape)
    shipped = Shipped(subject=subject, network=network, folded=fold_bn, costs=costs, checks={})
    return shipped, images, logits_of(subject.network, images)


def save_trained(path: Path, described: DescribedNetwork) -> Path:
    """A checkpoint as `retrain` writes it."""
    weights = trained(described).state_dict()
    training = {"recipe": {"epochs": 3, "opt": "sgd"}, "seed": 0, "weights": "last", "search": {"budget": "macs=1M"}}
    training["crop_pct"] = 0.875
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(path, TrainedNetwork(described=described, weights=weights, training=training))
    return path
