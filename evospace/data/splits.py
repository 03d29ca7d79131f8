"""Splits of labelled images that are handed out one epoch at a time, each epoch fixed by its seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from evospace.data.policy import Policy, apply_policy
from evospace.errors import DataError, UsageError
from evospace.seeding import torch_generator

Batch = tuple[Tensor, Tensor]
"""Images, float32 B x C x S x S in channels_last, and their labels, int64 B; both on the split's device."""


class Split(Protocol):
    """Labelled images; two epochs with the same arguments yield the same batches."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def epoch(
        self, batch_size: int, *, seed: int | None = None, drop_last: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        """Yield every image once: shuffled and augmented by `seed`, or in order and plain for None.

        The first `start` batches are left out, the others stay as they were.
        """
        ...

    def subset(self, indices: Tensor | Sequence[int]) -> Self:
        """The images at `indices` (int64 K), in that order."""
        ...

    def without_augmentation(self) -> Self:
        """The same images, never augmented."""
        ...

    def with_policy(self, policy: Policy) -> Self:
        """The same images, changed by `policy` too in seeded epochs."""
        ...

    def normalised_by(self, mean: Sequence[float], std: Sequence[float]) -> Self:
        """The same images, less another mean and divided by another standard deviation (one for each channel)."""
        ...

    crop_pct: float
    """What part of an image's shorter side is seen in plain epochs: all of it (1), or the middle."""
    mean: tuple[float, ...]
    """Of each channel, on the scale 0..1: what is taken off the images."""
    std: tuple[float, ...]
    """Of each channel: what they are divided by."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A random crop after padding by `pad` black pixels, then a mirror image half of the time if `flip`."""

    pad: int
    flip: bool


class InMemorySplit:
    """Images held as uint8 on the device; augmentation is drawn per image, whatever the batch size.

    Args:
        images: uint8 N x C x S x S.
        labels: int64 N.
        mean: mean of each of the C channels, on the scale 0..1.
        std: standard deviation of each of the C channels, on the scale 0..1.
        augmentation: what a seeded epoch does to an image besides shuffling; None for nothing.
        policy: what it does after that; None for nothing.
        device: where images and labels are kept.

    Raises:
        DataError: the shapes or types do not fit.
    """

    crop_pct = 1.0

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Augmentation | None = None,
        policy: Policy | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise DataError(f"images must be uint8 N x C x S x S, got {images.dtype} {tuple(images.shape)}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise DataError(f"labels must be int64 {len(images)}, got {labels.dtype} {tuple(labels.shape)}")
        if not len(mean) == len(std) == images.shape[1]:
            raise DataError(f"{images.shape[1]} channels need as many means and stds, got {mean} and {std}")
        self.device = torch.device(device)
        self.images, self.labels = images.to(self.device), labels.to(self.device)
        self.mean, self.std = tuple(mean), tuple(std)
        self.augmentation, self.policy = augmentation, policy

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def epoch(
        self, batch_size: int, *, seed: int | None = None, drop_last: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        """Yield every image once (see `Split.epoch`); `drop_last` leaves out a last, smaller batch.

        Raises:
            UsageError: `batch_size` is below 1.
        """
        change = self.augmentation if seed is not None else None
        draws = None if seed is None or change is None else _draws(len(self), change, seed).to(self.device)
        order = epoch_order(len(self), seed).to(self.device)
        transform = self.policy.transform(self.mean) if self.policy and seed is not None else None
        for chosen in order_batches(order, batch_size, drop_last, start):
            images = self.images[chosen]
            if change is not None and draws is not None:
                images = _crop_and_flip(images, draws[chosen], change.pad)
            if transform is not None and seed is not None:
                images = apply_policy(images, chosen, transform, seed)
            yield normalised(images, self.mean, self.std), self.labels[chosen]

    def subset(self, indices: Tensor | Sequence[int]) -> "InMemorySplit":
        """The images at `indices` (int64 K), in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        return self._with(images=self.images[chosen], labels=self.labels[chosen])

    def without_augmentation(self) -> "InMemorySplit":
        """The same images, never augmented."""
        return self._with(augmentation=None, policy=None)

    def with_policy(self, policy: Policy) -> "InMemorySplit":
        """The same images, changed by `policy` too in seeded epochs."""
        return self._with(policy=policy)

    def normalised_by(self, mean: Sequence[float], std: Sequence[float]) -> "InMemorySplit":
        """The same images, normalised by another mean and standard deviation."""
        return self._with(mean=mean, std=std)

    def _with(self, **changed: Any) -> "InMemorySplit":
        names = ("images", "labels", "mean", "std", "augmentation", "policy", "device")
        return InMemorySplit(**({name: getattr(self, name) for name in names} | changed))


def _draws(count: int, augmentation: Augmentation, seed: int) -> Tensor:
    """Row and column of the crop (both 0..2 pad) and 0 or 1 for the mirror image, int64 `count` x 3."""
    generator = torch_generator(seed, "augment")
    crops = torch.randint(0, 2 * augmentation.pad + 1, (count, 2), generator=generator)
    flips = torch.randint(0, 1 + augmentation.flip, (count, 1), generator=generator)
    return torch.cat([crops, flips], dim=1)


def _crop_and_flip(images: Tensor, draws: Tensor, pad: int) -> Tensor:
    """Pad uint8 B x C x S x S with black and crop S x S by the draws (int64 B x 3), mirrored where drawn."""
    steps = torch.arange(images.shape[-1], device=images.device)
    rows = draws[:, :1] + steps
    columns = draws[:, 1:2] + torch.where(draws[:, 2:] == 1, steps.flip(0), steps)
    images = F.pad(images, (pad, pad, pad, pad))
    which = torch.arange(len(images), device=images.device)[:, None, None]
    return images[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def epoch_order(count: int, seed: int | None) -> Tensor:
    """The order of an epoch, int64 `count`: 0, 1, ... for None, else a permutation drawn from `seed`."""
    if seed is None:
        return torch.arange(count)
    return torch.randperm(count, generator=torch_generator(seed, "order"))


def order_batches(order: Tensor, batch_size: int, drop_last: bool, start: int = 0) -> Iterator[Tensor]:
    """Cut `order` (int64 N) into batches less the first `start`; raises `UsageError` for a size below 1."""
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size} is not possible; give 1 or more")
    for batch in torch.split(order, batch_size)[start:] if len(order) else ():
        if len(batch) == batch_size or not drop_last:
            yield batch


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 B x C x S x S to float32 in channels_last with the given mean and std (C each) taken out."""
    scale = [255 * torch.tensor(v, device=images.device).view(1, -1, 1, 1) for v in (mean, std)]
    floats = images.to(torch.float32, memory_format=torch.channels_last)
    return floats.sub_(scale[0]).div_(scale[1])
