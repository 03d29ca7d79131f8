"""Image files: finding, decoding and scaling them, with Pillow alone."""

import statistics
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from evospace.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
MAX_PIXELS = 50_000_000

_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image in `path`, not yet decoded; whatever goes wrong with it becomes a `DataError`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} is more than {MAX_PIXELS} pixels")
            yield image
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read image {path}: {reason}; replace or remove the file") from None


def decode(path: Path, channels: int) -> Image.Image:
    """The upright image in `path`, grey for 1 channel and RGB for 3.

    Raises:
        DataError: the file is no image in one of `FORMATS`, is damaged or has over `MAX_PIXELS` pixels.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
        return upright.convert("L" if channels == 1 else "RGB")


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
        image = decode(paths[index], channels)
        images[index] = to_tensor(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(fill, range(len(paths))):
            pass
    return images


def sample_format(paths: Sequence[Path], count: int = 200) -> tuple[int, int]:
    """Channels (1 if all are grey, else 3) and default size, from up to `count` images spread over `paths`.

    The size is the median shorter side, at most 224, rounded down to a multiple of 8, at least 8.

    Raises:
        DataError: an image cannot be read; the text names its file.
    """
    sides, modes = [], set()
    for path in paths[:: -(-len(paths) // count)]:
        with _opened(path) as image:
            sides.append(min(image.size))
            modes.add(image.mode)
    side = int(min(224, statistics.median(sides)))
    return 1 if modes == {"L"} else 3, max(8, side // 8 * 8)
