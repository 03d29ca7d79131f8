"""Named data sets and what is held out of them."""

import gzip
import itertools
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from evospace.data import DATASETS, ImageData, InMemorySplit, Split, hold_out, load_data, with_train_images
from evospace.data.datasets import DEBIAN_FASHION
from evospace.errors import DataError, UsageError


def labels(split: Split) -> list[int]:
    return torch.cat([batch for _, batch in split.epoch(64)]).tolist()


def numbered(count: int) -> ImageData:
    images = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    split = InMemorySplit(images, torch.arange(count), mean=(0,), std=(1,))
    return ImageData(name="n", classes=(), image_size=2, image_channels=1, train=split, test=split, contents={})


def test_digits_are_the_same_for_every_seed() -> None:
    one, two = load_data("digits", seed=1), load_data("digits", seed=2)
    assert (len(one.train), len(one.test)) == (1437, 360)
    assert (one.image_size, one.image_channels, one.classes) == (8, 1, tuple("0123456789"))
    assert one.contents == two.contents
    counts = torch.bincount(torch.tensor(labels(one.test)))
    assert counts.min() >= 34
    train = cast(InMemorySplit, one.train)
    assert (train.images.dtype, int(train.images.max())) == (torch.uint8, 255)
    values = torch.cat([images for images, _ in train.epoch(500)])
    assert abs(float(values.mean())) < 1e-4
    assert abs(float(values.std()) - 1) < 1e-3


def test_digits_can_be_scaled() -> None:
    data = load_data("digits", image_size=16)
    assert next(data.train.epoch(2))[0].shape == (2, 1, 16, 16)
    assert data.contents != load_data("digits").contents


@pytest.mark.parametrize(("count", "held"), [(8, 4), (500, 250), (1437, 300), (5000, 500)])
def test_held_out_images_are_disjoint_and_complete(count: int, held: int) -> None:
    splits = hold_out(numbered(count), seed=3)
    parts = [labels(split) for split in (splits.train, splits.fitness, splits.scoring)]
    assert sorted(itertools.chain(*parts)) == list(range(count))
    assert [len(part) for part in parts] == [count - held, held // 2, held - held // 2]
    again = hold_out(numbered(count), seed=3)
    assert labels(again.fitness) == parts[1]


def test_hold_out_keeps_augmentation_for_training_only() -> None:
    splits = hold_out(load_data("digits"), seed=0)
    parts = [cast(InMemorySplit, s) for s in (splits.train, splits.fitness, splits.scoring)]
    assert [part.augmentation is not None for part in parts] == [True, False, False]
    with pytest.raises(DataError, match="at least 8"):
        hold_out(numbered(7), seed=0)


def test_wrong_names_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"digits, fashion-mnist.*path of a folder"):
        load_data("digit")
    with pytest.raises(UsageError, match="--data-dir"):
        load_data("imagenet")
    with pytest.raises(UsageError, match="not a folder"):
        load_data("digits", data_dir=tmp_path / "missing")
    with pytest.raises(UsageError, match="image size 0"):
        load_data("digits", image_size=0)
    with pytest.raises(UsageError, match="GiB"):
        load_data("digits", image_size=4000)
    with pytest.raises(UsageError, match="workers"):
        load_data("digits", workers=-1)
    assert "cifar10" in DATASETS


def write_idx(folder: Path, prefix: str, count: int) -> None:
    images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(count * 784)
    targets = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(i % 10 for i in range(count))
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(targets))


def test_fashion_mnist_is_read_from_a_folder(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 12)
    write_idx(tmp_path, "t10k", 3)
    data = load_data("fashion-mnist", data_dir=tmp_path)
    assert (len(data.train), labels(data.test), data.image_size) == (12, [0, 1, 2], 28)
    assert len(data.classes) == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain", "cannot read"),
        (gzip.compress(b"\0\0\x0d\x01", mtime=0), "no IDX file"),
        (gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 5) + b"ab", mtime=0), "should hold 5 values, has 2"),
        (gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 5) + b"abcdefg", mtime=0), "should hold 5 values, has more"),
        (gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 2**31), mtime=0), "claims 2147483648 values"),
        (gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 1) + b"a", mtime=0), "do not fit"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    write_idx(tmp_path, "train", 2)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_data("fashion-mnist", data_dir=tmp_path)


def test_an_old_fashion_mnist_cache_is_not_loaded(tmp_path: Path) -> None:
    cache = tmp_path / "FashionMNIST" / "processed"
    cache.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (cache / name).write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")  # a pickle that runs a command
    with pytest.raises(DataError, match="cache of an older torchvision that is no plain data, and is not loaded"):
        load_data("fashion-mnist", data_dir=tmp_path)
    assert not Path("canary").exists()


@pytest.mark.skipif(not DEBIAN_FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is missing")
def test_fashion_mnist_is_read_from_debians_package() -> None:
    data = load_data("fashion-mnist")
    assert (len(data.train), len(data.test)) == (60000, 10000)


def test_cifar_comes_from_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        data = np.zeros((6 if train else 2, 32, 32, 3), np.uint8)
        return SimpleNamespace(data=data, targets=[0] * len(data), classes=["plane", "car"])

    def failing(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", fake)
    monkeypatch.setattr("torchvision.datasets.CIFAR100", failing)
    data = load_data("cifar10", data_dir=tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (6, 2, ("plane", "car"))
    with pytest.raises(DataError, match=r"no route to host.*--data-dir"):
        load_data("cifar100", data_dir=tmp_path)


def test_a_part_of_the_training_images_is_drawn_by_the_seed() -> None:
    data = numbered(50)
    part = with_train_images(data, 20, 1)
    assert len(set(labels(part.train))) == 20
    assert labels(part.train) == labels(with_train_images(data, 20, 1).train)
    assert set(labels(part.train)) != set(labels(with_train_images(data, 20, 2).train))
    assert set(labels(with_train_images(data, 10, 1).train)) < set(labels(part.train))
    assert len(part.test) == 50
    with pytest.raises(UsageError, match=r"--train-images 51: n has 50"):
        with_train_images(data, 51, 1)


def test_digits_are_not_whatever_else_lies_in_a_folder(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 12)
    write_idx(tmp_path, "t10k", 3)
    assert load_data("digits", data_dir=tmp_path).contents == load_data("digits").contents
