"""What a rule of training is asked, step by step."""

from abc import ABC, abstractmethod

import numpy as np

from evospace.data.splits import Batch
from evospace.supernet.choice_block import Route
from evospace.training.snapshot import TrainState

WARM_UP = 0.25
"""Part of the training before the alpha of a softmax moves: ProxylessNAS' authors train 40 epochs and then 120. Weights
that know nothing would leave it to the cost alone, which DARTS' paper, without a warm-up, does not have."""


class Rule(ABC):
    """One way to train a supernet. All that changes lies in the `TrainState`, so that it can be stored and restored."""

    every = 0
    """A fitness step follows after so many weight steps; 0 for none."""
    waits = 0.0
    """The share of a round's weight steps before the first that a fitness step may follow."""
    skips = False
    """Whether a skip has an alpha of its own, as any candidate of a softmax (DARTS, ProxylessNAS)."""
    hardens = False
    """What it trains gets harder as the round goes on: an accuracy that falls is no collapse then."""

    def prune(self, state: TrainState, step: int) -> None:  # noqa: B027  most drop nothing
        """Before weight step `step`: drop operations, where the rule does."""

    @abstractmethod
    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """What weight step `step` of the round trains."""

    def fitness_step(  # noqa: B027  where `every` is 0 there is none
        self, state: TrainState, held_out: Batch, train: Batch, rng: np.random.Generator, lr: float
    ) -> None:
        """Update alpha on a held-out batch; `train` and `lr` are the weight step's that it follows."""
