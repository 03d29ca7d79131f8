"""Uniform sampling: every weight step trains one architecture drawn by the gates a space begins with; no fitness.

With `--initial-gates uniform` all architectures are alike, as in the papers; with `sparse`, the default, those with
few operations are likelier (`evospace.sampling.gates`).

Sources: Guo et al., Single Path One-Shot (SPOS), ECCV 2020, section 3.2: a uniform single path; Li & Talwalkar, Random
search and reproducibility for NAS, UAI 2019: random search with weight sharing. In a multi-branch space a block draws
one of its subsets uniformly, which is the same definition on more choices.
"""

from dataclasses import dataclass

import numpy as np

from evospace.sampling.gates import draw, initial_probabilities
from evospace.sampling.in_budget import InBudgetGates
from evospace.supernet.choice_block import Route, route_of
from evospace.training.rules.rule import Rule
from evospace.training.snapshot import TrainState


@dataclass(frozen=True, kw_only=True)
class UniformRule(Rule):
    """Nothing is learned but the weights."""

    near: InBudgetGates | None = None
    """Gates conditioned on a cost near the budget; `None` draws whatever it costs."""

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """One architecture of the space."""
        if self.near is not None:
            return route_of(self.near.draw(state.space, rng))
        return route_of(draw(state.space, initial_probabilities(state.space), rng))
