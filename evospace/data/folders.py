"""Folders of images: `train/` with `val/` or `test/`, or one folder, each with a folder per class."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from evospace.data.image_data import ImageData, in_memory_splits
from evospace.data.images import decode_all, sample_format
from evospace.data.layout import Layout, read_layout, share_to_test
from evospace.data.loaded import LoadedSplit, Sample
from evospace.data.splits import Augmentation, Split
from evospace.errors import DataError, printable
from evospace.seeding import torch_generator

MEMORY_LIMIT = 1 << 30
"""Data sets of up to this many bytes, once decoded, are held in memory."""


@dataclass(frozen=True, kw_only=True)
class FolderSamples:
    """The files of a folder with one class map for both splits; labels index `classes`, names that can be shown."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    divided: bool
    """Whether the seed chose the test."""


def scan_folder(root: Path, seed: int) -> FolderSamples:
    """Find the images below `root`; a single folder of classes is split 80/20 within each class by `seed`.

    Raises:
        DataError: no class folders, a class without images, a test class that training does not have, or an
            image's name that is no file.
    """
    layout = read_layout(root)
    if errors := [finding for finding in layout.findings() if finding.kind.error]:
        raise DataError(errors[0].text)
    return split_layout(layout, seed)


def split_layout(layout: Layout, seed: int) -> FolderSamples:
    """Training and test files of a layout; where it has no test part, `seed` chooses it."""
    names = sorted(layout.train.images)
    train, test = layout.train.images, layout.test.images if layout.test else {}
    if not layout.test:
        parts = {name: _split_class(train[name], seed, index) for index, name in enumerate(names)}
        train, test = ({name: part[i] for name, part in parts.items()} for i in (0, 1))
    return FolderSamples(
        root=layout.root,
        classes=tuple(map(printable, names)),
        train=_label(train, names),
        test=_label(test, names),
        divided=not layout.test,
    )


def _split_class(paths: Sequence[Path], seed: int, index: int) -> tuple[list[Path], list[Path]]:
    order = torch.randperm(len(paths), generator=torch_generator(seed, "folder-split", index)).tolist()
    held = share_to_test(len(paths))
    return [paths[i] for i in sorted(order[held:])], [paths[i] for i in sorted(order[:held])]


def _label(files: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[Sample, ...]:
    return tuple((path, label) for label, name in enumerate(classes) for path in files.get(name, ()))


def load_folder(
    root: Path, *, name: str, image_size: int | None, seed: int, flip: bool, device: str, workers: int
) -> ImageData:
    """Load a folder of images: into memory if at most `MEMORY_LIMIT` bytes, else read anew every epoch.

    Raises:
        DataError: the layout does not fit or an image cannot be read; the text names folder or file.
    """
    samples = scan_folder(root, seed)
    channels, default_size = sample_format(sorted((path for path, _ in (*samples.train, *samples.test)), key=str))
    size = image_size or default_size
    count = len(samples.train) + len(samples.test)
    train: Split
    test: Split
    if count * channels * size * size <= MEMORY_LIMIT:
        train, test = _in_memory(samples, channels, size, flip, device, workers)
    else:
        read = partial(LoadedSplit, image_size=size, channels=channels, workers=workers, device=device)
        train, test = read(samples.train, augmented=True, flip=flip), read(samples.test)
    return ImageData(
        name=name,
        classes=samples.classes,
        image_size=size,
        image_channels=channels,
        train=train,
        test=test,
        contents=_contents(samples, channels, size),
        divided=samples.divided,
    )


def _in_memory(
    samples: FolderSamples, channels: int, size: int, flip: bool, device: str, workers: int
) -> tuple[Split, Split]:
    train, test = (
        (
            decode_all([path for path, _ in part], channels, size, workers),
            torch.tensor([label for _, label in part], dtype=torch.int64),
        )
        for part in (samples.train, samples.test)
    )
    return in_memory_splits(train, test, Augmentation(pad=max(1, size // 8), flip=flip), device)


def _contents(samples: FolderSamples, channels: int, size: int) -> dict[str, str]:
    """What the folder holds, by split and class; file names and sizes stand for the bytes."""
    parts = {"image size": str(size), "channels": str(channels)}
    for split, part in (("train", samples.train), ("test", samples.test)):
        files: dict[int, list[tuple[str, int]]] = {}
        for path, label in part:
            files.setdefault(label, []).append((str(path.relative_to(samples.root)), path.stat().st_size))
        for label, listed in files.items():
            digest = hashlib.sha256(repr(listed).encode("utf-8", "backslashreplace")).hexdigest()
            parts[f"{split} {samples.classes[label]!r}"] = f"{len(listed)} files, sha256 {digest[:16]}"
    return parts
