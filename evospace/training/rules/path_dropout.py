"""One-Shot: path dropout whose rate grows while the weights train.

Source: Bender et al., Understanding and simplifying one-shot architecture search, ICML 2018, section 3.3: each of a
block's k paths is dropped with probability r^(1/k), so that all are dropped with probability r whatever k is; the rate
grows linearly from 0 over the training.
"""

from dataclasses import dataclass

import numpy as np

from evospace.sampling.gates import draw_excluding, to_architectures
from evospace.supernet.choice_block import Route, route_of
from evospace.training.rules.rule import Rule
from evospace.training.snapshot import TrainState

RATE = 0.1
"""r at the end; the paper tunes it. At 0.1 about two of a block's paths are left, be they 5 or 27."""


@dataclass(frozen=True, kw_only=True)
class PathDropoutRule(Rule):
    """Several operations of a block at once, in a single-branch space too: only what is sampled later is one-of-N."""

    steps: int
    """Weight steps of the whole round."""

    hardens = True

    def keep(self, paths: int, step: int) -> float:
        """Probability that a path of a block with `paths` is kept in weight step `step`."""
        progress = step / max(self.steps - 1, 1)
        return float(1.0 - progress * RATE ** (1.0 / paths))

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """Independent draws per operation; a block that needs one draws again while it has none."""
        masks = []
        for names, needed in zip(state.space.candidates, state.space.required, strict=True):
            kept = np.full(len(names), self.keep(len(names), step)) if names else np.zeros(0)
            excluded = [np.zeros(len(names), dtype=bool)] if needed else []
            masks.append(draw_excluding(kept, excluded, rng)[None])
        return route_of(to_architectures(state.space, masks)[0])
