"""A trained network as it is shipped: parallel branches merged and, where wanted, BatchNorm folded."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evospace.errors import UsageError, reason
from evospace.ops.modern.reparam import has_branches, reparametrise
from evospace.seeding import torch_generator

TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest logit, that an export may have."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two networks' logits are apart."""

    absolute: float
    """Largest difference of one logit."""
    relative: float
    """The same over the largest absolute logit of the network that is compared with."""

    def __str__(self) -> str:
        return f"{self.absolute:.2g} absolute, {self.relative:.2g} of the largest logit"

    def to_json(self) -> dict[str, float]:
        """Both numbers."""
        return {"absolute": self.absolute, "relative": self.relative}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A network in eval mode that is ready to be written, and what preparing it changed."""

    network: nn.Module
    merged: Difference | None = None
    """Of merging parallel branches; `None` where there are none."""
    folded: Difference | None = None
    """Of folding BatchNorm; `None` where that was not asked for."""


def prepare(network: nn.Module, images: Tensor, *, fold_bn: bool) -> Prepared:
    """A copy of `network` with every `RepConv` merged, and with BatchNorm folded where `fold_bn` says so.

    Differences are those of the logits of `images` (``N x C x S x S``). Raises `UsageError` where they exceed the
    tolerance.
    """
    before = logits_of(network, images)
    shipped, merged, folded = reparametrise(network), None, None
    if has_branches(network):
        merged = checked("merging parallel branches", logits_of(shipped, images), before)
    if fold_bn:
        unfolded = logits_of(shipped, images)
        shipped = fold_batch_norms(shipped)
        try:
            found = logits_of(shipped, images)
        except (RuntimeError, IndexError, TypeError, AttributeError) as error:
            raise UsageError(f"--fold-bn: an operation cannot do without BatchNorm ({reason(error):.160})") from error
        folded = checked("--fold-bn", found, unfolded)
    return Prepared(network=shipped, merged=merged, folded=folded)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """A copy in eval mode in which a convolution with BatchNorm right after it, in a Sequential, is one convolution."""
    copied = copy.deepcopy(network).eval()
    for module in list(copied.modules()):
        if type(module) is nn.Sequential:
            _fold(module)
    return copied


def _fold(layers: nn.Sequential) -> None:
    kept: list[tuple[str, nn.Module]] = []
    for name, layer in layers._modules.items():
        last = kept[-1][1] if kept else None
        if type(layer) is nn.BatchNorm2d and layer.track_running_stats and type(last) is nn.Conv2d:
            kept[-1] = (kept[-1][0], fuse_conv_bn_eval(last, layer))
        else:
            kept.append((name, layer))
    numbered = all(name.isdecimal() for name, _ in kept)
    for name in list(layers._modules):
        delattr(layers, name)
    for i, (name, layer) in enumerate(kept):
        layers.add_module(str(i) if numbered else name, layer)


def probe_images(shape: Sequence[int], batch: int = 2) -> Tensor:
    """The same random images ``batch x C x H x W`` for every export."""
    return torch.randn(batch, *shape, generator=torch_generator(0, "export-images", batch))


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Logits in eval mode, without gradient."""
    with torch.no_grad():
        logits: Tensor = network.eval()(images)
    return logits


def difference(found: Tensor, wanted: Tensor) -> Difference:
    """How far `found` is from `wanted`; infinite where the shapes differ or a number is not finite."""
    if found.shape != wanted.shape or not bool(torch.isfinite(found).all() and torch.isfinite(wanted).all()):
        return Difference(absolute=float("inf"), relative=float("inf"))
    absolute = float((found.double() - wanted.double()).abs().max())
    scale = float(wanted.double().abs().max())
    relative = absolute / scale if scale else float("inf")
    return Difference(absolute=absolute, relative=relative if absolute else 0.0)


def checked(what: str, found: Tensor, wanted: Tensor) -> Difference:
    """The difference of two networks' logits; raises `UsageError` where it exceeds the tolerance."""
    apart = difference(found, wanted)
    if not apart.relative <= TOLERANCE:
        raise UsageError(
            f"{what} changes the logits by {apart}; at most {TOLERANCE:g} is allowed: nothing was exported"
        )
    return apart
