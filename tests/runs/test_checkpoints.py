import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from evospace.errors import DataError
from evospace.runs.checkpoints import TrainingCheckpoints, load_checkpoint, save_checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(2.5), "c": torch.tensor([1, 2])}
META = {"round": 1, "text": "x", "number": 0.1}


def test_what_is_saved_is_loaded_and_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", TENSORS, META)
    save_checkpoint(tmp_path / "two", dict(reversed(TENSORS.items())), dict(reversed(META.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    tensors, meta = load_checkpoint(tmp_path / "one")
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(value, tensors[key]) for key, value in TENSORS.items())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "one"
    save_checkpoint(path, TENSORS, META)
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_found(
    data: Any, sound: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "one"
    changed = bytearray(sound)
    if data.draw(st.booleans()):
        changed[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del changed[data.draw(st.integers(0, len(sound) - 1)) :]
    path.write_bytes(changed)
    with suppress(DataError):
        tensors, meta = load_checkpoint(path)
        assert meta == META  # e.g. a blank in the header that became another kind of blank
        assert all(torch.equal(value, tensors[key]) for key, value in TENSORS.items())


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_foreign_files_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    path, canary = tmp_path / "x.safetensors", tmp_path / "canary"
    save_file(TENSORS, path)
    with pytest.raises(DataError, match="not a checkpoint of EvoSpace"):
        load_checkpoint(path)
    for content in (pickle.dumps(Canary(canary)), b"", b"<html>", bytes(8)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.safetensors"):
            load_checkpoint(path)
    torch.save({"a": Canary(canary)}, path)
    with pytest.raises(DataError):
        load_checkpoint(path)
    with pytest.raises(DataError):
        load_checkpoint(tmp_path)
    assert not canary.exists()


def test_the_newest_sound_checkpoint_of_the_round_is_used(tmp_path: Path) -> None:
    warnings: list[str] = []
    series = TrainingCheckpoints(tmp_path, warnings.append)
    for number in range(4):
        series.save({"a": torch.tensor(number)}, {"round": 1})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["training-000003.safetensors", "training-000004.safetensors"]
    found = series.newest(1)
    assert found is not None
    assert int(found[0]["a"]) == 3
    assert series.newest(2) is None
    save_checkpoint(tmp_path / "training-000005.safetensors", {}, {"network": 1})  # of another kind
    assert series.newest(2) is None
    (tmp_path / "training-000005.safetensors").unlink()
    (tmp_path / files[1]).write_bytes(b"torn")
    found = series.newest(1)
    assert found is not None
    assert int(found[0]["a"]) == 2
    assert len(warnings) == 1
    assert files[1] in warnings[0]
    series.clear()
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_half_written_goes_with_the_rest(tmp_path: Path) -> None:
    series = TrainingCheckpoints(tmp_path, lambda _: None)
    series.save(TENSORS, META)
    (tmp_path / ".training-000002.safetensors.x1y2z3").touch()
    (tmp_path / "other.safetensors").touch()
    series.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]
