"""Stores the round under way as it is trained, so that a run that was ended at any moment goes on from there."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from evospace.runs.autosave import Autosave, Packed
from evospace.runs.checkpoints import KeptWeights, TrainingCheckpoints
from evospace.runs.phase_seconds import PhaseSeconds
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.runs.stored_settings import search_again
from evospace.space.architecture import Architecture
from evospace.training.network_trainer import NetworkState
from evospace.training.snapshot import Snapshot, pack, take, unpack
from evospace.training.supernet_trainer import Progressed


class RoundStorage:
    """What of a round is stored before it is finished, in `checkpoints/` and in the seconds of `run.db`."""

    def __init__(self, run: RunDirectory, signals: Signals, warn: Callable[[str], None]) -> None:
        """`warn` is told of every damaged file that is passed over."""
        self._signals, self._again = signals, search_again(run.path)
        self._checkpoints = TrainingCheckpoints(run.path / "checkpoints", warn)
        self.kept = KeptWeights(run.path / "checkpoints")
        """Networks trained by themselves."""
        self.seconds = PhaseSeconds(run.database)
        """Of training the round's supernet."""

    @cached_property
    def _autosave(self) -> Autosave:
        """Its minute begins with the training, not with the folder."""
        return Autosave(
            checkpoints=self._checkpoints, signals=self._signals, again=self._again, stored=self.seconds.store
        )

    def clear(self) -> None:
        """The round under way is finished and stored elsewhere."""
        self._checkpoints.clear()
        self.kept.clear()

    def check_signals(self, where: str) -> None:
        """Raise `InterruptedRunError` where a signal asks for the end."""
        self._signals.check(where, self._again)

    def supernet(self, round: int) -> tuple[Snapshot | None, Snapshot | None]:
        """The stored state of the round's supernet, and within an epoch the last good one before it."""
        saved = self._checkpoints.newest(round)
        return unpack(*saved) if saved else (None, None)

    def save(self, round: int, progressed: Progressed) -> None:
        """Store the round's supernet now."""
        self._autosave.store(_packed(round, progressed))

    def after_step(self, round: int, progressed: Progressed) -> None:
        """To be called after every step of the round's supernet."""
        position = progressed.state.position
        where = f"round {round}, epoch {position.epoch + 1}, step {position.step}"
        self._autosave.after_step(where, partial(_packed, round, progressed))

    def alone(self, round: int, architecture: Architecture) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The stored state of an architecture that was being trained by itself, if it is the one under way."""
        saved = self._checkpoints.newest(round)
        return saved if saved and saved[1].get("architecture") == str(architecture) else None

    def after_step_alone(self, round: int, architecture: Architecture, state: NetworkState) -> None:
        """To be called after every step of an architecture that is trained by itself."""

        def packed() -> Packed:
            tensors, meta = state.copy()
            return tensors, meta | {"round": round, "architecture": str(architecture)}

        position = state.position
        where = f"round {round}, an architecture by itself, epoch {position.epoch + 1}, step {position.step}"
        self._autosave.after_step(where, packed)


def _packed(round: int, progressed: Progressed) -> Packed:
    return pack(round, take(progressed.state), progressed.good)
