"""Image files: opening, decoding and scaling them, with Pillow alone."""

import stat
import statistics
import warnings
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from evospace.errors import DataError, reason

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
MAX_PIXELS = 50_000_000
MAX_RATIO = 16
"""Of a longer image only the middle is kept; no view that a search takes shows more of it."""
GREY = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"})
"""Pillow's modes without colour."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings (odd metadata, large images) from the terminal; not to be entered by threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image in `path`, not yet decoded; whatever goes wrong with it becomes a `DataError`.

    A decoder that is given damaged bytes can raise anything, so every exception counts.
    """
    try:
        with bounded(path) as image:
            yield image
    except Exception as error:
        raise DataError(f"cannot read image {path}: {why_not(path, error)}; replace or remove the file") from error


@contextmanager
def bounded(path: Path) -> Iterator[Image.Image]:
    """As `opened`, with whatever goes wrong as it comes."""
    if problem := not_a_file(path):
        raise ValueError(problem)
    # By name, Pillow maps an uncompressed TIFF into memory, and shears it where its orientation turns it.
    with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} is more than {MAX_PIXELS} pixels")
        yield image


def not_a_file(path: Path) -> str:
    """Why `path` is no regular file (a link to nothing, a folder, a FIFO that would block); empty if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link that leads nowhere ({reason(error)})" if path.is_symlink() else reason(error)
    return "" if stat.S_ISREG(mode) else "not a regular file"


def why_not(path: Path, error: Exception) -> str:
    """Why the image in `path` cannot be read, where reading it raised `error`."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in {', '.join(FORMATS)}" if path.stat().st_size else "the file is empty"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS} pixels"
    return reason(error)


def decode(path: Path, channels: int) -> Image.Image:
    """The upright first frame in `path`, grey for 1 channel and RGB for 3.

    Raises:
        DataError: the file is no image in one of `FORMATS`, is damaged or has over `MAX_PIXELS` pixels.
    """
    with quiet(), opened(path) as image:
        return convert(image, channels)


def convert(image: Image.Image, channels: int) -> Image.Image:
    """Decode an opened image; 16 bits become 8, and other depths raise `ValueError`."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F"):
        raise ValueError("32 bits a value, of which none is known to be white; convert it to 8 or 16 bits")
    if upright.mode.startswith("I;16"):
        upright = _eight_bits(upright)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
    return _not_too_long(upright.convert("L" if channels == 1 else "RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255; Pillow itself would make everything above 255 white."""
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _not_too_long(image: Image.Image) -> Image.Image:
    width, height = (min(side, MAX_RATIO * min(image.size)) for side in image.size)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def to_tensor(image: Image.Image) -> Tensor:
    """A decoded image as uint8 C x H x W."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def decode_all(paths: Sequence[Path], channels: int, size: int, workers: int) -> Tensor:
    """All images, the shorter side scaled to `size` and the centre cut out, as uint8 N x C x size x size.

    Raises:
        DataError: an image cannot be read; the text names its file.
    """
    images = torch.empty(len(paths), channels, size, size, dtype=torch.uint8)

    def fill(index: int) -> None:
        with opened(paths[index]) as image:
            square = ImageOps.fit(convert(image, channels), (size, size), Image.Resampling.BILINEAR)
            images[index] = to_tensor(square)

    with quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(fill, range(len(paths))):
            pass
    return images


def spread(items: Sequence[T], count: int = 200) -> Sequence[T]:
    """Up to `count` items, evenly spread."""
    return items[:: -(-len(items) // count)]


def sample_format(paths: Sequence[Path]) -> tuple[int, int]:
    """Channels and default size (see `usual_format`), from up to 200 images spread over `paths`.

    Raises:
        DataError: an image cannot be read; the text names its file.
    """
    sides, modes = [], set()
    with quiet():
        for path in spread(paths):
            with opened(path) as image:
                sides.append(min(image.size))
                modes.add(image.mode)
    return usual_format(sides, modes)


def usual_format(sides: Collection[int], modes: Collection[str]) -> tuple[int, int]:
    """Channels (1 if all modes are grey, else 3) and size for images with these shorter sides.

    The size is the median, at most 224, rounded down to a multiple of 8, at least 8.
    """
    return 1 if set(modes) <= GREY else 3, default_size(int(statistics.median(sides)))


def default_size(side: int) -> int:
    """Pixels that images with a shorter side of `side` are searched at where none are asked for."""
    return max(8, min(224, side) // 8 * 8)
