"""Image files of every kind: what is decoded to what, and that nothing else than a `DataError` comes of the rest."""

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evospace.data import load_data
from evospace.data.images import decode, sample_format
from evospace.data.loaded import LoadedSplit
from evospace.errors import DataError
from tests.bad_input import IMAGES, encoded, picture


def ramp(kind: str) -> Image.Image:
    """Every 16-bit level that is exact in 8 bits, in the given byte order."""
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    return Image.fromarray(levels.astype(kind))


@pytest.mark.parametrize(("kind", "suffix"), [("<u2", "png"), ("<u2", "tif"), (">u2", "tif")])
def test_sixteen_bits_are_scaled_over_the_whole_range(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    ramp(kind).save(path)
    assert np.array_equal(np.asarray(decode(path, 1)).ravel(), np.arange(256))
    assert np.array_equal(np.asarray(decode(path, 3))[:, :, 2].ravel(), np.arange(256))
    assert sample_format([path]) == (1, 16)


def test_levels_between_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[0, 128, 129, 65406, 65407, 65535]], np.uint16)).save(path)
    assert np.asarray(decode(path, 1)).tolist() == [[0, 0, 1, 254, 255, 255]]


def test_only_the_middle_of_a_very_long_image_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((3, 1001, 3), np.uint8)
    pixels[:, 477:525] = 9
    for turned, size in ((False, (48, 3)), (True, (3, 48))):
        path = tmp_path / "x.png"
        Image.fromarray(pixels.swapaxes(0, 1) if turned else pixels).save(path)
        image = decode(path, 3)
        assert image.size == size
        assert (np.asarray(image) == 9).mean() > 0.95


def test_the_first_frame_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    frames = [Image.new("L", (8, 8), level) for level in (200, 10)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert decode(path, 1).getextrema() == (200, 200)


@pytest.mark.parametrize("case", [case for case in IMAGES if not case.code], ids=lambda case: case.given)
def test_odd_images_are_used_from_memory_and_from_disk(
    case: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case.make()  # type: ignore[attr-defined]
    data = load_data("images", image_size=16)
    odd = [path for path in Path("images/b").iterdir() if path.stem == "odd"] or [Path("images/b/0.png")]
    split = LoadedSplit([(odd[0], 1)], image_size=16, channels=data.image_channels, augmented=True)
    for epoch in (data.train.epoch(4), split.epoch(1, seed=1), split.epoch(1)):
        images, _ = next(epoch)
        assert images.shape[1:] == (3, 16, 16)
        assert torch.isfinite(images).all()


@pytest.mark.parametrize("side", [9900, 14000])
def test_a_bomb_gives_no_warning_besides_its_error(side: int, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("1", (side, side)).save(path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match=r"x\.png: .*more than 50000000 pixels"):
            decode(path, 3)
    assert not seen


def test_a_closed_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    picture(1).save(path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(DataError, match=r"x\.png: Permission denied; replace"):
        decode(path, 3)


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        decode(tmp_path / "x.jpg", 3)


FILES = {kind: encoded(picture(3, (9, 7)), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FILES)), st.integers(0, 800), st.binary(max_size=6), st.booleans())
def test_damaged_files_are_images_or_data_errors(
    tmp_path: Path, kind: str, start: int, damage: bytes, cut: bool
) -> None:
    raw = FILES[kind]
    start %= len(raw)
    path = tmp_path / "x.img"
    path.write_bytes(raw[:start] + damage + (b"" if cut else raw[start + len(damage) :]))
    with contextlib.suppress(DataError):
        image = decode(path, 3)
        assert image.mode == "RGB"
        image.save(io.BytesIO(), "PNG")


@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_upright_whatever_its_orientation(orientation: int, compression: str, tmp_path: Path) -> None:
    """Against the turns that the standard defines, on an image whose every pixel differs."""
    pixels = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].T,
        8: np.rot90(pixels),
    }[orientation]
    path = tmp_path / "image.tiff"
    Image.fromarray(pixels).save(path, compression=compression, tiffinfo={0x0112: orientation})
    assert np.array_equal(np.asarray(decode(path, 1)), turned)
