"""From the name of a data set, or the path of a folder, to its images."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from evospace.data.datasets import DATASETS, READERS, Arrays
from evospace.data.folders import load_folder
from evospace.data.image_data import ImageData, fingerprint, in_memory_splits
from evospace.devices import memory_errors
from evospace.errors import MissingImagesError, UsageError, printable
from evospace.reading import is_folder

_LARGEST = 4 << 30


def load_data(
    name_or_dir: str,
    *,
    data_dir: Path | None = None,
    image_size: int | None = None,
    seed: int = 0,
    flip: bool = True,
    device: str = "cpu",
    workers: int = 0,
) -> ImageData:
    """Load one of `DATASETS` or a folder of images.

    Args:
        name_or_dir: a name in `DATASETS`, or a folder with `train/` and `val/` or `test/`, or a folder of
            class folders, which `seed` splits 80/20.
        data_dir: where a named data set is, or is downloaded to; it must exist.
        image_size: side to scale images to; None keeps that of a named data set (224 for imagenet) and
            takes the median shorter side, at most 224 and down to a multiple of 8, of a folder.
        seed: fixes the split of a folder without a test part; named data sets do not depend on it.
        flip: whether training images may be mirrored; digits never are.
        device: where batches are put.
        workers: threads or processes that decode image files.

    Raises:
        UsageError: no such data set or folder, a size that is not possible, or memory that is used up.
        DataError: the images cannot be had, cannot be read or do not fit.
    """
    if image_size is not None and image_size < 1:
        raise UsageError(f"image size {image_size} is not possible; give 1 or more")
    if workers < 0:
        raise UsageError(f"{workers} workers are not possible; give 0 or more")
    require_folder(data_dir)
    with memory_errors(f"for the images of {name_or_dir}", "free some, or give a smaller --image-size"):
        if name_or_dir in READERS:
            return _from_arrays(name_or_dir, READERS[name_or_dir](data_dir), image_size, flip, device)
        root, name = find_folder(name_or_dir, data_dir)
        if name_or_dir == "imagenet":
            image_size = image_size or 224
        return load_folder(root, name=name, image_size=image_size, seed=seed, flip=flip, device=device, workers=workers)


def require_folder(data_dir: Path | None) -> None:
    """Raise `UsageError` where `--data-dir` is given and is no folder."""
    if data_dir is not None and not is_folder(data_dir):
        raise UsageError(f"data folder {data_dir} is not a folder; name one that exists with --data-dir")


def find_folder(name_or_dir: str, data_dir: Path | None) -> tuple[Path, str]:
    """The folder of images that `name_or_dir` stands for, and a name for it; `UsageError` if there is none."""
    if name_or_dir == "imagenet":
        if data_dir is None:
            raise UsageError("imagenet needs --data-dir with the folder that holds its train/ and val/")
        return data_dir, name_or_dir
    try:
        root = Path(name_or_dir).expanduser()
    except RuntimeError:  # ~name of a user who is not known
        root = Path(name_or_dir)
    if not is_folder(root):
        raise MissingImagesError(
            f"no data set or folder {name_or_dir!r:.200}; give one of {', '.join(DATASETS)}, "
            "or the path of a folder of images"
        )
    return root, printable(root.resolve().name)


def _from_arrays(name: str, arrays: Arrays, image_size: int | None, flip: bool, device: str) -> ImageData:
    size = image_size or arrays.train[0].shape[-1]
    augmentation = replace(arrays.augmentation, flip=flip and arrays.augmentation.flip)
    train, test = ((_resized(images, size), labels) for images, labels in (arrays.train, arrays.test))
    train_split, test_split = in_memory_splits(train, test, augmentation, device)
    return ImageData(
        name=name,
        classes=arrays.classes,
        image_size=size,
        image_channels=train[0].shape[1],
        train=train_split,
        test=test_split,
        contents={
            "image size": str(size),
            "classes": str(len(arrays.classes)),
            **{
                f"{part} images": f"{len(images)}, sha256 {fingerprint(images, labels)[:16]}"
                for part, (images, labels) in (("train", train), ("test", test))
            },
        },
    )


def _resized(images: Tensor, size: int) -> Tensor:
    """Scale uint8 N x C x H x H to N x C x size x size."""
    if images.shape[-1] == size:
        return images
    if images.shape[0] * images.shape[1] * size * size > _LARGEST:
        raise UsageError(f"image size {size} would take over {_LARGEST >> 30} GiB; give a smaller one")
    from torchvision.transforms.v2 import functional

    return torch.cat([functional.resize(part, [size, size], antialias=True) for part in torch.split(images, 1024)])
