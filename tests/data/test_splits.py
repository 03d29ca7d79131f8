"""Epochs of both kinds of split: order, augmentation and determinism."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from evospace.data import Augmentation, InMemorySplit, LoadedSplit, Split
from evospace.errors import DataError, UsageError

COUNT = 23


def in_memory(augmentation: Augmentation | None = None, channels: int = 3) -> InMemorySplit:
    pixels = torch.randint(1, 256, (COUNT, channels, 6, 6), generator=torch.Generator().manual_seed(1))
    mean, std = (0.5,) * channels, (0.25,) * channels
    images = pixels.to(torch.uint8)
    return InMemorySplit(images, torch.arange(COUNT), mean=mean, std=std, augmentation=augmentation)


def on_disk(folder: Path, workers: int = 0) -> LoadedSplit:
    samples = []
    for label in range(COUNT):
        pixels = torch.randint(0, 256, (20, 24, 3), generator=torch.Generator().manual_seed(label))
        path = folder / f"{label}.png"
        Image.fromarray(pixels.to(torch.uint8).numpy()).save(path)
        samples.append((path, label))
    return LoadedSplit(samples, image_size=8, workers=workers, augmented=True)


def whole(split: Split, batch_size: int = 5, seed: int | None = None) -> tuple[Tensor, Tensor]:
    images, labels = zip(*split.epoch(batch_size, seed=seed), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_unseeded_epoch_is_plain_and_in_order() -> None:
    split = in_memory(Augmentation(pad=2, flip=True))
    images, labels = whole(split)
    assert labels.tolist() == list(range(COUNT))
    assert torch.allclose(images, (split.images / 255 - 0.5) / 0.25, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_are_float_and_channels_last(channels: int) -> None:
    for seed in (None, 3):
        images, labels = next(in_memory(Augmentation(pad=1, flip=True), channels).epoch(4, seed=seed))
        assert images.dtype == torch.float32
        assert images.shape == (4, channels, 6, 6)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64


def test_seeded_epoch_covers_each_image_once_whatever_the_batch_size() -> None:
    split = in_memory(Augmentation(pad=2, flip=True))
    images, labels = whole(split, 5, seed=7)
    again, same = whole(split, 23, seed=7)
    assert sorted(labels.tolist()) == list(range(COUNT))
    assert labels.tolist() != list(range(COUNT))
    assert torch.equal(images, again)
    assert torch.equal(labels, same)
    assert not torch.equal(whole(split, seed=8)[1], labels)


def test_augmented_image_is_a_crop_of_the_padded_image_with_its_label() -> None:
    split = in_memory(Augmentation(pad=1, flip=True), channels=1)
    padded = torch.nn.functional.pad(split.images, (1, 1, 1, 1))
    flipped = 0
    for image, label in zip(*whole(split, seed=2), strict=True):
        pixels = ((image * 0.25 + 0.5) * 255).round()
        crops = padded[label].unfold(1, 6, 1).unfold(2, 6, 1).reshape(-1, 6, 6).float()
        plain = any(torch.equal(crop, pixels[0]) for crop in crops)
        mirrored = any(torch.equal(crop, pixels[0].flip(1)) for crop in crops)
        assert plain != mirrored
        flipped += mirrored
    assert 0 < flipped < COUNT


def test_an_epoch_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    for split in (in_memory(Augmentation(pad=1, flip=True)), on_disk(tmp_path)):
        before = torch.get_rng_state()
        whole(split, seed=1)
        assert torch.equal(torch.get_rng_state(), before)


def test_drop_last_and_subset_and_without_augmentation() -> None:
    split = in_memory(Augmentation(pad=2, flip=True))
    assert [len(labels) for _, labels in split.epoch(10, drop_last=True)] == [10, 10]
    part = split.subset([4, 2])
    assert (len(part), part.labels.tolist(), part.augmentation) == (2, [4, 2], split.augmentation)
    images, labels = whole(split.without_augmentation(), seed=1)
    assert torch.equal(images, whole(split)[0][labels])


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UsageError, match="batch size 0"):
        next(in_memory().epoch(0))
    with pytest.raises(DataError, match="uint8"):
        InMemorySplit(torch.zeros(1, 1, 2, 2), torch.zeros(1).long(), mean=(0,), std=(1,))
    with pytest.raises(DataError, match="labels"):
        InMemorySplit(torch.zeros(1, 1, 2, 2).byte(), torch.zeros(2).long(), mean=(0,), std=(1,))
    with pytest.raises(DataError, match="channels"):
        InMemorySplit(torch.zeros(1, 1, 2, 2).byte(), torch.zeros(1).long(), mean=(0, 0), std=(1, 1))


def test_loaded_epoch_does_not_depend_on_workers(tmp_path: Path) -> None:
    alone, shared = on_disk(tmp_path), on_disk(tmp_path, workers=2)
    images, labels = whole(alone, seed=3)
    others, same = whole(shared, seed=3)
    assert torch.equal(images, others)
    assert torch.equal(labels, same)
    assert sorted(labels.tolist()) == list(range(COUNT))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_loaded_split_augments_only_seeded_epochs(tmp_path: Path) -> None:
    split = on_disk(tmp_path)
    plain, labels = whole(split)
    assert labels.tolist() == list(range(COUNT))
    changed, order = whole(split, seed=1)
    assert not torch.equal(changed, plain[order])
    kept, order = whole(split.without_augmentation(), seed=1)
    assert torch.equal(kept, plain[order])
    assert whole(split.subset([5, 3]))[1].tolist() == [5, 3]


@pytest.mark.parametrize("workers", [0, 1])
def test_loaded_split_names_a_bad_image_in_one_line(tmp_path: Path, workers: int) -> None:
    split = on_disk(tmp_path, workers)
    (tmp_path / "4.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^cannot read image .*4\.png: .*$") as caught:
        whole(split)
    assert "\n" not in str(caught.value)
