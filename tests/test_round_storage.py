"""What is stored of the round under way; that whole searches go on from it to the same bits is for test_resume.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from evospace.errors import InterruptedRunError
from evospace.round_storage import RoundStorage
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.space.architecture import Architecture
from evospace.training.network_trainer import NetworkState

ONE = Architecture((("conv_k3",),))
OTHER = Architecture((("conv_k5",),))


@pytest.fixture
def signals() -> Signals:
    return Signals(quiet=True)


@pytest.fixture
def storage(tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch) -> RoundStorage:
    """Stores after every step."""
    monkeypatch.setattr("evospace.runs.autosave.SECONDS", -1.0)
    (tmp_path / "checkpoints").mkdir()
    return RoundStorage(RunDirectory(tmp_path), signals, pytest.fail)


def state(value: float) -> NetworkState:
    """All that storing asks of a network under training."""
    tensors, meta = {"weight": torch.tensor([value])}, {"round": 0, "position": {"epoch": 0, "step": 1}}
    made: Any = SimpleNamespace(copy=lambda: (tensors, meta), position=SimpleNamespace(epoch=0, step=1))
    return cast(NetworkState, made)


def test_a_network_trained_by_itself_is_found_by_round_and_architecture(storage: RoundStorage) -> None:
    assert storage.alone(2, ONE) is None
    storage.after_step_alone(2, ONE, state(0.5))
    found = storage.alone(2, ONE)
    assert found is not None
    assert found[0]["weight"].item() == 0.5
    assert storage.alone(2, OTHER) is None  # the next one has begun when the run ended: nothing of it is stored yet
    assert storage.alone(3, ONE) is None
    storage.after_step_alone(2, OTHER, state(0.7))
    found = storage.alone(2, OTHER)
    assert found is not None
    assert found[0]["weight"].item() == pytest.approx(0.7)


def test_nothing_is_left_of_a_round_that_is_finished(storage: RoundStorage) -> None:
    storage.after_step_alone(1, ONE, state(0.5))
    storage.clear()
    assert storage.alone(1, ONE) is None
    assert storage.supernet(1) == (None, None)


def test_what_ends_a_run_is_stored_first(
    storage: RoundStorage, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evospace.runs.autosave.SECONDS", 1e9)
    storage.after_step_alone(1, ONE, state(0.125))
    assert storage.alone(1, ONE) is None  # its minute is not over
    signals._exit_code = 130
    with pytest.raises(InterruptedRunError, match="round 1, an architecture by itself, epoch 1, step 1"):
        storage.after_step_alone(1, ONE, state(0.25))
    assert storage.alone(1, ONE) is not None
