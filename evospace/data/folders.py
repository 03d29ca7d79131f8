"""Folders of images: `train/` with `val/` or `test/`, or one folder, each with a folder per class."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from evospace.data.image_data import ImageData, in_memory_splits
from evospace.data.images import SUFFIXES, decode_all, sample_format
from evospace.data.loaded import LoadedSplit, Sample
from evospace.data.splits import Augmentation, Split
from evospace.errors import DataError
from evospace.seeding import torch_generator

MEMORY_LIMIT = 1 << 30
"""Data sets of up to this many bytes, once decoded, are held in memory."""


@dataclass(frozen=True, kw_only=True)
class FolderSamples:
    """The files of a folder with one class map for both splits; labels index `classes`."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]


def scan_folder(root: Path, seed: int) -> FolderSamples:
    """Find the images below `root`; a single folder of classes is split 80/20 within each class by `seed`.

    Raises:
        DataError: no class folders, a class without images, or a test class that training does not have.
    """
    if not (root / "train").is_dir():
        return _split_single(root, _class_files(root), seed)
    held = next((root / name for name in ("test", "val") if _folders(root / name)), None)
    if held is None:
        raise DataError(f"{root} has train/ but no class folders in val/ or test/; add one of them")
    train, test = _class_files(root / "train"), _class_files(held)
    if unknown := sorted(test.keys() - train.keys()):
        raise DataError(f"{held} has class {unknown[0]!r}, which {root / 'train'} lacks; add or remove it")
    classes = tuple(sorted(train))
    return FolderSamples(root=root, classes=classes, train=_label(train, classes), test=_label(test, classes))


def _split_single(root: Path, files: dict[str, list[Path]], seed: int) -> FolderSamples:
    train, test = {}, {}
    for index, (name, paths) in enumerate(files.items()):
        order = torch.randperm(len(paths), generator=torch_generator(seed, "folder-split", index)).tolist()
        held = min(len(paths) - 1, max(1, round(0.2 * len(paths))))
        test[name] = [paths[i] for i in sorted(order[:held])]
        train[name] = [paths[i] for i in sorted(order[held:])]
    classes = tuple(files)
    samples = _label(test, classes)
    if not samples:
        raise DataError(f"{root} has one image per class, none is left to test on; add images")
    return FolderSamples(root=root, classes=classes, train=_label(train, classes), test=samples)


def _label(files: dict[str, list[Path]], classes: tuple[str, ...]) -> tuple[Sample, ...]:
    return tuple((path, label) for label, name in enumerate(classes) for path in files.get(name, ()))


def _folders(root: Path) -> list[Path]:
    """The folders in `root` that are not hidden, sorted; none if there is no `root`."""
    if not root.is_dir():
        return []
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))


def _class_files(root: Path) -> dict[str, list[Path]]:
    """The image files of every class folder in `root`, sorted, at any depth."""
    files = {
        folder.name: sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        for folder in _folders(root)
    }
    if len(files) < 2:
        raise DataError(f"{root} has {len(files)} class folders but needs 2 or more; add one for each class")
    if empty := [name for name, paths in files.items() if not paths]:
        raise DataError(f"class {empty[0]!r} in {root} has no images ({' '.join(sorted(SUFFIXES))}); add some")
    return files


def load_folder(root: Path, *, name: str, image_size: int | None, seed: int, device: str, workers: int) -> ImageData:
    """Load a folder of images: into memory if at most `MEMORY_LIMIT` bytes, else read anew every epoch.

    Raises:
        DataError: the layout does not fit or an image cannot be read; the text names folder or file.
    """
    try:
        samples = scan_folder(root, seed)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); mend its permissions") from error
    channels, default_size = sample_format([path for path, _ in (*samples.train, *samples.test)])
    size = image_size or default_size
    count = len(samples.train) + len(samples.test)
    train: Split
    test: Split
    if count * channels * size * size <= MEMORY_LIMIT:
        train, test = _in_memory(samples, channels, size, device, workers)
    else:
        train, test = (
            LoadedSplit(part, image_size=size, channels=channels, workers=workers, augmented=augmented, device=device)
            for part, augmented in ((samples.train, True), (samples.test, False))
        )
    return ImageData(
        name=name,
        classes=samples.classes,
        image_size=size,
        image_channels=channels,
        train=train,
        test=test,
        contents=_contents(samples, channels, size),
    )


def _in_memory(samples: FolderSamples, channels: int, size: int, device: str, workers: int) -> tuple[Split, Split]:
    train, test = (
        (
            decode_all([path for path, _ in part], channels, size, workers),
            torch.tensor([label for _, label in part], dtype=torch.int64),
        )
        for part in (samples.train, samples.test)
    )
    return in_memory_splits(train, test, Augmentation(pad=max(1, size // 8), flip=True), device)


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
