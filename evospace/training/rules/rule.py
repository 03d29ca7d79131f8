"""What a rule of training is asked, step by step."""

from typing import Protocol

import numpy as np

from evospace.data.splits import Batch
from evospace.supernet.choice_block import Route
from evospace.training.snapshot import TrainState


class Rule(Protocol):
    """One way to train a supernet. All that changes lies in the `TrainState`, so that it can be stored and restored."""

    @property
    def every(self) -> int:
        """A fitness step follows after so many weight steps; 0 for none."""

    @property
    def waits(self) -> float:
        """The share of a round's weight steps before the first that a fitness step may follow."""

    @property
    def hardens(self) -> bool:
        """What it trains gets harder as the round goes on: an accuracy that falls is no collapse then."""

    def prune(self, state: TrainState, step: int) -> None:
        """Before weight step `step`: drop operations, where the rule does."""

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """What weight step `step` of the round trains."""

    def fitness_step(
        self, state: TrainState, held_out: Batch, train: Batch, rng: np.random.Generator, lr: float
    ) -> None:
        """Update alpha on a held-out batch; `train` and `lr` are the weight step's that it follows."""
