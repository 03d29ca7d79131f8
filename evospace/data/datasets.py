"""The data sets known by name, each read into uint8 arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from evospace.data.idx import read_idx
from evospace.data.splits import Augmentation
from evospace.errors import DataError

CACHE = Path("~/.cache/evospace")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_RAW_FASHION = Path("FashionMNIST/raw")
_FASHION_CLASSES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot"


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A small data set: images uint8 N x C x S x S and labels int64 N for training and for test."""

    classes: tuple[str, ...]
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    augmentation: Augmentation


def digits(data_dir: Path | None) -> Arrays:
    """scikit-learn's 1797 grey 8 x 8 digits, split 80/20 by class, always in the same way.

    Where `data_dir` has idx files of 8 x 8 images, these: digits split in another way (benchmarks/held_out.py).
    """
    augmentation = Augmentation(pad=1, flip=False)
    parts = [_idx_pair(data_dir, prefix) for prefix in ("train", "t10k")] if data_dir and _has_idx(data_dir) else []
    if parts and all(images.shape[-1] == 8 for images, _ in parts):
        return Arrays(classes=tuple("0123456789"), train=parts[0], test=parts[1], augmentation=augmentation)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    images = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8)[:, None]
    labels = torch.from_numpy(bunch.target).long()
    rows = train_test_split(range(len(labels)), test_size=0.2, stratify=bunch.target, random_state=0)
    train, test = ((images[chosen], labels[chosen]) for chosen in rows)
    return Arrays(classes=tuple("0123456789"), train=train, test=test, augmentation=augmentation)


def fashion_mnist(data_dir: Path | None) -> Arrays:
    """Fashion-MNIST from `data_dir`, Debian's package dataset-fashion-mnist, or the net.

    Raises:
        DataError: a file is damaged, or nothing was found and the download failed.
    """
    root = data_dir or CACHE.expanduser()
    folders = [root, root / _RAW_FASHION, DEBIAN_FASHION]
    folder = next(filter(_has_idx, folders), None)
    if folder is None:
        _torchvision("FashionMNIST", root, train=True)
        folder = root / _RAW_FASHION
    return Arrays(
        classes=tuple(_FASHION_CLASSES.split()),
        train=_idx_pair(folder, "train"),
        test=_idx_pair(folder, "t10k"),
        augmentation=Augmentation(pad=2, flip=True),
    )


def _has_idx(folder: Path) -> bool:
    return (folder / "train-images-idx3-ubyte.gz").is_file()


def _idx_pair(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1).long()
    if len(images) != len(labels) or not len(labels) or int(labels.max()) > 9:
        raise DataError(f"images and labels of {prefix} in {folder} do not fit; get the four files again")
    return images[:, None], labels


def cifar10(data_dir: Path | None) -> Arrays:
    """CIFAR-10 from `data_dir` or the net; `DataError` if neither has it."""
    return _cifar("CIFAR10", data_dir)


def cifar100(data_dir: Path | None) -> Arrays:
    """CIFAR-100 from `data_dir` or the net; `DataError` if neither has it."""
    return _cifar("CIFAR100", data_dir)


def _cifar(name: str, data_dir: Path | None) -> Arrays:
    parts = [_torchvision(name, data_dir or CACHE.expanduser(), train=train) for train in (True, False)]
    train, test = (
        (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)) for part in parts
    )
    augmentation = Augmentation(pad=4, flip=True)
    return Arrays(classes=tuple(parts[0].classes), train=train, test=test, augmentation=augmentation)


def _torchvision(name: str, root: Path, *, train: bool) -> Any:
    """One of torchvision's data sets, downloaded into `root` unless it is there."""
    from torchvision import datasets

    try:
        return getattr(datasets, name)(str(root), train=train, download=True)
    except UnpicklingError:
        raise DataError(
            f"{root / name}: holds a cache of an older torchvision that is no plain data, and is not loaded; remove it"
        ) from None
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name} is not in {root} and cannot be downloaded ({reason}); "
            "name the folder that holds it with --data-dir"
        ) from None


READERS: dict[str, Callable[[Path | None], Arrays]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}
DATASETS: tuple[str, ...] = (*READERS, "imagenet")
"""Names that `load_data` knows; it also takes the path of a folder of images."""
