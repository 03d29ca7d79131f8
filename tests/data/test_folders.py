"""Folders of images: layouts, class map, decoding and what makes them unfit."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from evospace.data import LoadedSplit, Split, folders, load_data
from evospace.data.check import check_data
from evospace.data.images import decode
from evospace.data.splits import Augmentation, InMemorySplit
from evospace.errors import DataError


def fill(folder: Path, count: int, *, size: tuple[int, int] = (20, 30), mode: str = "RGB") -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new(mode, size, index).save(folder / f"{index}.png")
    return folder


def labels(split: Split) -> list[int]:
    return torch.cat([batch for _, batch in split.epoch(64)]).tolist()


@pytest.mark.parametrize("held", ["val", "test"])
def test_folder_with_two_parts_has_one_class_map(tmp_path: Path, held: str) -> None:
    for name, count in (("a", 3), ("b", 4), ("c", 5)):
        fill(tmp_path / "train" / name, count)
    for name, count in (("b", 2), ("c", 1)):
        fill(tmp_path / held / name, count)
    data = load_data(str(tmp_path), workers=2)
    assert data.classes == ("a", "b", "c")
    assert (data.image_size, data.image_channels, data.name) == (16, 3, tmp_path.name)
    assert labels(data.train) == [0] * 3 + [1] * 4 + [2] * 5
    assert labels(data.test) == [1, 1, 2]
    assert isinstance(data.train, InMemorySplit)
    assert data.train.augmentation == Augmentation(pad=2, flip=True)  # photographs may be mirrored
    assert load_data("imagenet", data_dir=tmp_path, image_size=8).image_size == 8
    still = load_data(str(tmp_path), flip=False).train
    assert isinstance(still, InMemorySplit)
    assert still.augmentation == Augmentation(pad=2, flip=False)


def test_single_folder_is_split_by_seed(tmp_path: Path) -> None:
    for name in "ab":
        fill(tmp_path / name, 20, mode="L", size=(9, 9))
    data = load_data(str(tmp_path), seed=1)
    assert (len(data.train), labels(data.test)) == (32, [0] * 4 + [1] * 4)
    assert (data.image_size, data.image_channels) == (8, 1)
    one, same, two = (folders.scan_folder(tmp_path, seed) for seed in (1, 1, 2))
    assert one == same
    assert one.test != two.test
    assert not set(one.train) & set(one.test)


def test_the_format_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(300):
            colour = i in (7, 133)  # of 600 images each third is looked at: by name the same ones for every seed
            path = tmp_path / name / f"{i:03}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB" if colour else "L", (16, 16) if i % 2 else (32, 32)).save(path)
    found = {(data.image_channels, data.image_size) for data in (load_data(str(tmp_path), seed=s) for s in range(6))}
    assert len(found) == 1
    use = check_data(str(tmp_path)).use
    assert use is not None
    assert (use["channels"], use["image_size"]) == found.pop()


def test_large_folder_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        fill(tmp_path / name, 5)
    small = load_data(str(tmp_path))
    monkeypatch.setattr(folders, "MEMORY_LIMIT", 1)
    large = load_data(str(tmp_path))
    assert isinstance(large.train, LoadedSplit)
    assert (large.train.augmented, large.train.flip, len(large.train), len(large.test)) == (True, True, 8, 2)
    still = load_data(str(tmp_path), flip=False).train
    assert isinstance(still, LoadedSplit)
    assert not still.flip
    assert large.contents == small.contents
    assert next(large.test.epoch(2))[0].shape == (2, 3, 16, 16)


def test_bad_image_is_named(tmp_path: Path) -> None:
    for name in "ab":
        fill(tmp_path / name, 4)
    bad = tmp_path / "b" / "2.png"
    bad.write_bytes(bad.read_bytes()[:45])
    with pytest.raises(DataError, match=r"b/2\.png"):
        load_data(str(tmp_path))


def test_decoding_is_upright_opaque_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned, clear = tmp_path / "t.jpg", tmp_path / "c.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 20)).save(turned, exif=exif)
    Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(clear)
    assert decode(turned, 3).size == (20, 10)
    assert decode(clear, 3).getpixel((0, 0)) == (9, 8, 7)
    assert decode(clear, 1).mode == "L"
    monkeypatch.setattr("evospace.data.images.MAX_PIXELS", 10)
    with pytest.raises(DataError, match=r"c\.png: 4 x 4 is more than 10 pixels"):
        decode(clear, 3)


def test_unfit_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 class folders"):
        load_data(str(tmp_path))
    fill(tmp_path / "train" / "a", 2)
    fill(tmp_path / "train" / "b", 2)
    with pytest.raises(DataError, match="no class folders in val/ or test/"):
        load_data(str(tmp_path))
    fill(tmp_path / "val" / "a", 1)
    unknown = fill(tmp_path / "val" / "z", 1)
    with pytest.raises(DataError, match="'z'"):
        load_data(str(tmp_path))
    (unknown / "0.png").unlink()
    with pytest.raises(DataError, match=r"'z'.*no images"):
        load_data(str(tmp_path))
    for name in "ab":
        fill(tmp_path / "single" / name, 1)
    with pytest.raises(DataError, match="one image per class"):
        load_data(str(tmp_path / "single"))
