"""Stores what is being trained about once a minute and where a signal asks for it; ends it where one asks for that."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from evospace.runs.checkpoints import TrainingCheckpoints
from evospace.runs.signals import Signals

SECONDS = 60.0
"""A crash costs at most about this much training; what is stored when does not change the result."""
Packed = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and plain values of a training under way."""


@dataclass(kw_only=True)
class Autosave:
    """Asked after every step of a training."""

    checkpoints: TrainingCheckpoints
    signals: Signals
    again: str
    """The command that goes on."""
    stored: Callable[[], object] = lambda: None
    """Called after each state that is stored."""
    _saved: float = field(default_factory=time.monotonic)

    def store(self, packed: Packed) -> None:
        """Store it now."""
        self.checkpoints.save(*packed)
        self.stored()
        self._saved = time.monotonic()

    def after_step(self, where: str, pack: Callable[[], Packed]) -> None:
        """Store what `pack` returns if it is time or asked for; raise `InterruptedRunError` where a signal ends it.

        A signal that arrives meanwhile waits for the next step: nothing ends that is not stored.
        """
        ending = self.signals.ending
        if self.signals.take_save() or time.monotonic() - self._saved > SECONDS:
            self.store(pack())
        if ending:
            self.signals.check(where, self.again)
