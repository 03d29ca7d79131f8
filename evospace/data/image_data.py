"""A data set as the search sees it, and the split of its training images for a search."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evospace.data.splits import Augmentation, InMemorySplit, Split
from evospace.errors import DataError, UsageError
from evospace.seeding import torch_generator


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A labelled image data set.

    `contents` says, part by part, what the data are, so that a resumed run can tell what has changed: sizes, and a
    sha256 per split (of a folder: per class, where file names and sizes stand for the bytes). `divided`: whether the
    test images were drawn by the seed, from a folder that has no part for them.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    image_channels: int
    train: Split
    test: Split
    contents: Mapping[str, str]
    divided: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchSplits:
    """Disjoint parts of the training images: to train on, to search by, and to score the outcome."""

    train: Split
    fitness: Split
    scoring: Split


def with_train_images(data: ImageData, count: int, seed: int) -> ImageData:
    """The data with `count` of its training images, drawn by `seed`; the test is not touched.

    Raises:
        UsageError: there are fewer, or it is too few for a search.
    """
    held = len(data.train)
    if problem := too_few(count):
        raise UsageError(f"--train-images {count}: {problem}; raise it, or leave it out for all")
    if count > held:
        raise UsageError(f"--train-images {count}: {data.name} has {held}; give at most that, or 0 for all")
    order = torch.randperm(held, generator=torch_generator(seed, "train-images"))
    return replace(data, train=data.train.subset(order[:count]))


def hold_out(data: ImageData, seed: int) -> SearchSplits:
    """Hold out `held_out` training images; the test is not touched.

    One half of them becomes `fitness`, the other `scoring`, neither augmented.

    Raises:
        DataError: there are fewer than 8 training images.
    """
    count = len(data.train)
    require_enough(data)
    held = held_out(count)
    order = torch.randperm(count, generator=torch_generator(seed, "hold-out"))
    plain = data.train.without_augmentation()
    return SearchSplits(
        train=data.train.subset(order[held:]),
        fitness=plain.subset(order[: held // 2]),
        scoring=plain.subset(order[held // 2 : held]),
    )


def require_enough(data: ImageData) -> None:
    """Raise `DataError` where there are too few training images for a search."""
    if problem := too_few(len(data.train)):
        raise DataError(f"{data.name}: {problem}; add images")


def too_few(count: int) -> str:
    """What to say where `count` training images are too few for a search; else empty."""
    return f"{count} training images, a search needs at least 8" if count < 8 else ""


def held_out(count: int) -> int:
    """How many of `count` training images are held out: the larger of 10 % and 300, never more than half."""
    return min(max(count // 10, 300), count // 2)


def in_memory_splits(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], augmentation: Augmentation, device: str
) -> tuple[InMemorySplit, InMemorySplit]:
    """Train (augmented) and test from (images uint8 N x C x S x S, labels int64 N), scaled by train's mean.

    Raises:
        DataError: shapes or types do not fit.
    """
    mean, std = channel_statistics(train[0])
    return (
        InMemorySplit(*train, mean=mean, std=std, augmentation=augmentation, device=device),
        InMemorySplit(*test, mean=mean, std=std, device=device),
    )


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 N x C x H x W, on the scale 0..1."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = float(share @ values)
        means.append(mean)
        stds.append(max(1 / 255, float(share @ (values - mean) ** 2) ** 0.5))
    return tuple(means), tuple(stds)


def fingerprint(*tensors: Tensor) -> str:
    """sha256, in hex, of the shapes and bytes of CPU tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
