"""What is exported: a network with weights, and all that its config and its card tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from evospace.cost.count import count_module
from evospace.deploy.folder import MARK
from evospace.runs.network_file import crop_of
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import pyramid_levels


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network in eval mode, and where it comes from."""

    described: DescribedNetwork
    network: nn.Module
    trained: bool
    """Whether the weights are trained ones; fresh ones are random."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Recipe, seed, epochs, ...: plain JSON values."""
    evaluations: Sequence[Mapping[str, Any]] = ()
    """Test results of this checkpoint, where it was tested, and of the same network trained with other seeds."""
    own_evaluation: Mapping[str, Any] | None = None
    """The one of them that is of this checkpoint; `None` where it was not tested."""
    search: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the search that found it, where they are known."""
    license: str = ""

    @property
    def crop_pct(self) -> float | None:
        """What part of an image's shorter side it was trained to be tested on (the middle); `None`: not known."""
        return crop_of(self.training)

    @property
    def resize(self) -> int | None:
        """Pixels that the shorter side of an image is scaled to before its middle is cut out; `None`: not known."""
        return int(self.described.skeleton.image_size / self.crop_pct) if self.crop_pct else None


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What all exports of one network tell of it."""

    subject: Subject
    network: nn.Module
    """As it is written: branches merged, BatchNorm folded where that was wanted."""
    folded: bool
    costs: Mapping[str, int]
    checks: Mapping[str, Any]
    """Differences of logits, by what was compared."""


def costs_of(network: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """MACs and parameters of a network as it is written.

    It runs on one image of zeros: what it holds beside parameters and buffers could not be moved to `meta`. Attention
    is done by plain products, which are counted.
    """
    with sdpa_kernel(SDPBackend.MATH):
        return count_module(network, (1, *input_shape), device="cpu")


def blocks_in_words(described: DescribedNetwork) -> list[str]:
    """A line per block: shapes, and the operations whose mean it is."""
    lines = []
    for shape, names in zip(described.skeleton.blocks(), described.architecture.blocks, strict=True):
        size, out = shape.resolution, shape.out_resolution
        terms = [*names, *(["the input"] if shape.keeps_shape else [])]
        mean = f"mean of {' and '.join(terms)}" if len(terms) > 1 else terms[0]
        lines.append(f"{shape.in_channels} x {size} x {size} -> {shape.out_channels} x {out} x {out}: {mean}")
    return lines


def config_of(shipped: Shipped, to: str) -> dict[str, Any]:
    """The content of `config.json`: all of it plain data, none of it needed to run the network."""
    subject, described = shipped.subject, shipped.subject.described
    skeleton = described.skeleton
    return {
        "format": MARK,
        "version": 1,
        "to": to,
        "name": described.name,
        "class_names": list(described.class_names),
        "input_size": list(described.input_shape),
        "channels": skeleton.image_channels,
        "resize": subject.resize,
        "interpolation": "bilinear",
        "mean": list(described.mean),
        "std": list(described.std),
        "macs": shipped.costs["macs"],
        "params": shipped.costs["params"],
        "architecture_in_words": {
            "stem": f"3x3 convolution, {skeleton.stem_channels} channels, stride {skeleton.stem_stride}",
            "blocks": blocks_in_words(described),
            "head": f"1x1 convolution, {skeleton.head_channels} channels, global mean, {described.classes} classes",
        },
        "feature_info": pyramid_levels(skeleton),
        "trained": subject.trained,
        "folded_bn": shipped.folded,
        "checks": dict(shipped.checks),
        "license": subject.license,
        "provenance": {
            "evospace": _version("evospace"),
            "torch": _version("torch"),
            "data": described.data,
            "training": dict(subject.training),
            "evaluations": [dict(result) for result in subject.evaluations],
            "search": dict(subject.search),
            "network": described.to_json(),
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
