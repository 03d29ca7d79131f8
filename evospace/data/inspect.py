"""Read images once, one by one, and compare what was seen of them."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from evospace.data import findings as kinds
from evospace.data.findings import Finding
from evospace.data.images import GREY, bounded, convert, quiet, why_not
from evospace.data.splits import InMemorySplit

LONG = 4
"""An image this many times longer than wide (or wider than long) is worth a warning."""
_AT_ONCE = 1024
Step = Callable[[int, int], object]
"""Told after each image how many are done, and of how many."""


@dataclass(frozen=True)
class ImageFile:
    """An image of a split (`train` or `test`) and a class."""

    part: str
    label: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one image; `digest` is that of its decoded pixels."""

    part: str
    label: str
    where: Path | str
    mode: str
    size: tuple[int, int]
    digest: bytes
    animated: bool = False


def inspect_images(images: Sequence[ImageFile], workers: int, step: Step) -> tuple[list[Look], list[Finding]]:
    """Read every image whole; those that cannot be read come back as findings."""
    looks: list[Look] = []
    bad: list[Finding] = []
    with quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(images), _AT_ONCE):
            for done, seen in enumerate(pool.map(_look, images[start : start + _AT_ONCE]), start=start + 1):
                if isinstance(seen, Look):
                    looks.append(seen)
                else:
                    bad.append(seen)
                step(done, len(images))
    return looks, bad


def _look(file: ImageFile) -> Look | Finding:
    try:
        with bounded(file.path) as image:
            mode, size = image.mode, image.size
            pixels = convert(image, 3)
            digest = hashlib.sha256(repr(pixels.size).encode() + pixels.tobytes()).digest()
            animated = _animated(image)
    except Exception as error:  # as in `opened`
        return Finding(kinds.UNREADABLE, file.path, why_not(file.path, error))
    return Look(
        part=file.part, label=file.label, where=file.path, mode=mode, size=size, digest=digest, animated=animated
    )


def _animated(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):  # a damaged second frame is no concern of a search
        return bool(getattr(image, "is_animated", False))
    return True


def array_looks(split: InMemorySplit, part: str, classes: Sequence[str]) -> list[Look]:
    """The images of a split in memory."""
    _, channels, height, width = split.images.shape
    return [
        Look(
            part=part,
            label=classes[label],
            where=f"{part} image {index}",
            mode="L" if channels == 1 else "RGB",
            size=(width, height),
            digest=hashlib.sha256(image.numpy().tobytes()).digest(),
        )
        for index, (image, label) in enumerate(zip(split.images.cpu(), split.labels.tolist(), strict=True))
    ]


def compare(looks: Sequence[Look], channels: int, image_size: int, *, split: bool) -> Iterator[Finding]:
    """What would hurt a search on these images: `split` tells whether training and test are apart already."""
    for look in looks:
        shape = "{} x {} pixels".format(*look.size)
        if 2 * min(look.size) < image_size:
            yield Finding(kinds.TINY, look.where, f"{shape}, scaled up to {image_size}")
        if max(look.size) > LONG * min(look.size):
            yield Finding(kinds.LONG, look.where, shape)
        if look.animated:
            yield Finding(kinds.ANIMATED, look.where, "only the first frame or page is used")
        if channels == 1 and look.mode not in GREY:
            yield Finding(kinds.COLOUR_LOST, look.where, f"mode {look.mode}, read as grey")
    yield from _same(looks, split)


def _same(looks: Sequence[Look], split: bool) -> Iterator[Finding]:
    """Every image that has the pixels of an earlier one, where that matters."""
    first: dict[bytes, Look] = {}
    for look in looks:
        other = first.setdefault(look.digest, look)
        if other is look:
            continue
        if other.label != look.label:
            detail = f"class {look.label!r}, the same picture as {other.where} of class {other.label!r}"
            yield Finding(kinds.TWO_CLASSES, look.where, detail)
        if not split or other.part != look.part:
            yield Finding(kinds.LEAK if split else kinds.TWICE, look.where, f"the same picture as {other.where}")
