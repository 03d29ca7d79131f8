"""Images that stay on disk: deaths of worker processes, and epochs taken up in the middle."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import evospace.data.loaded
from evospace.data.images import decode
from evospace.data.loaded import RESTARTS, LoadedSplit, _tells_of_a_death
from evospace.data.splits import Batch
from evospace.errors import DataError


@pytest.fixture
def samples(tmp_path: Path) -> list[tuple[Path, int]]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(12):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(256, size=(10, 10, 3), dtype=np.uint8)).save(path)
        found.append((path, i % 3))
    return found


def batches(split: LoadedSplit, start: int = 0) -> list[Batch]:
    return list(split.epoch(4, seed=3, start=start))


def same(one: list[Batch], two: list[Batch]) -> bool:
    pairs = zip(one, two, strict=True)
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


def test_an_epoch_taken_up_in_the_middle_has_the_same_rest(samples: list[tuple[Path, int]]) -> None:
    split = LoadedSplit(samples, image_size=8, augmented=True)
    assert same(batches(split, start=1), batches(split)[1:])
    assert batches(split, start=3) == []


def test_images_are_mirrored_unless_they_must_not_be(tmp_path: Path) -> None:
    pixels = np.repeat(np.arange(32, dtype=np.uint8)[None] * 8, 32, axis=0)  # dark on the left, bright on the right
    path = tmp_path / "ramp.png"
    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(path)
    for flip in (True, False):
        split = LoadedSplit([(path, 0)] * 24, image_size=8, augmented=True, flip=flip)
        images = torch.cat([images for images, _ in split.subset(range(24)).epoch(8, seed=1)])
        mirrored = (images[..., 0] > images[..., -1]).any(dim=1).any(dim=1)
        assert bool(mirrored.any()) == flip


def test_a_dead_worker_is_replaced_and_no_batch_is_lost_or_changed(
    samples: list[tuple[Path, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = batches(LoadedSplit(samples, image_size=8, augmented=True))
    parent, dead = os.getpid(), tmp_path / "dead"

    def dies_once(path: Path, channels: int) -> Image.Image:
        if path.name == "7.png" and not dead.exists():
            assert os.getpid() != parent
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(path, channels)

    monkeypatch.setattr(evospace.data.loaded, "decode", dies_once)
    handler = signal.getsignal(signal.SIGCHLD)
    assert same(batches(LoadedSplit(samples, image_size=8, augmented=True, workers=1)), whole)
    assert dead.exists()
    assert signal.getsignal(signal.SIGCHLD) is handler  # a death is found by the loader, not raised anywhere


def test_a_worker_that_dies_while_it_hands_a_batch_over_is_replaced_too(
    samples: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = LoadedSplit(samples, image_size=8, augmented=True, workers=1)
    whole, loader, starts = batches(split), LoadedSplit._loader, []

    def dies_in_the_second_batch(self: LoadedSplit, rest: list[list[int]], seed: int | None) -> Iterator[Batch]:
        starts.append(len(rest))
        for i, batch in enumerate(loader(self, rest, seed)):
            if i == 1 and len(starts) == 1:  # what the socket raises while the system has not yet reported the death
                raise ConnectionResetError
            yield batch

    monkeypatch.setattr(LoadedSplit, "_loader", dies_in_the_second_batch)
    assert same(batches(split), whole)
    assert starts == [3, 2]


def test_workers_that_keep_dying_end_with_one_line(
    samples: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(path: Path, channels: int) -> Image.Image:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    monkeypatch.setattr(evospace.data.loaded, "decode", dies)
    with pytest.raises(DataError, match=f"died {RESTARTS + 1} times"):
        batches(LoadedSplit(samples, image_size=8, workers=1))


@pytest.mark.parametrize("kind", [RuntimeError, ConnectionResetError, EOFError])
@pytest.mark.parametrize("workers", [0, 1])
def test_what_decoding_raises_is_no_death(
    kind: type[Exception], workers: int, samples: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, channels: int) -> Image.Image:
        raise kind("of its own")

    monkeypatch.setattr(evospace.data.loaded, "decode", fails)
    with pytest.raises(kind, match="of its own"):
        batches(LoadedSplit(samples, image_size=8, workers=workers))


def test_an_image_that_is_gone_is_named_from_a_worker_too(samples: list[tuple[Path, int]]) -> None:
    samples[5][0].unlink()
    with pytest.raises(DataError, match=r"^cannot read image .*5\.png") as caught:
        batches(LoadedSplit(samples, image_size=8, workers=1))
    assert len(str(caught.value).splitlines()) == 1


def test_the_thread_that_pins_batches_ends_with_a_worker_and_what_it_raises_is_no_death() -> None:
    assert _tells_of_a_death(RuntimeError("Pin memory thread exited unexpectedly"))
    assert not _tells_of_a_death(RuntimeError("Caught RuntimeError in pin memory thread for device 0.\nout of memory"))


def test_each_epoch_augments_an_image_in_another_way(samples: list[tuple[Path, int]]) -> None:
    split = LoadedSplit(samples[:1], image_size=8, augmented=True)
    one, same, other = (next(split.epoch(1, seed=seed))[0] for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_image_that_is_not_augmented_is_the_middle_of_a_larger_one(tmp_path: Path) -> None:
    """224 of 256 pixels, as the card of an export says: of a ramp, the ends are cut off."""
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 64, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    split = LoadedSplit([(tmp_path / "ramp.png", 0)], image_size=56, mean=(0.0,) * 3, std=(1.0,) * 3)
    row = next(split.epoch(1))[0][0, 0, 28] * 255
    assert row.tolist() == pytest.approx([4.0 * x for x in range(4, 60)], abs=0.01)
