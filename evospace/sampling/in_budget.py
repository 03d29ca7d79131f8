"""Gates for weight steps that train only what lies near the budget. No torch here."""

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import uniform_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

GATE_BINS = 2_000
"""Cost bins of the sampler that weight steps draw from: a draw takes a millisecond, and about one in thirty is
dropped by the exact check."""


WINDOW_BINS = 8
"""Bins of the window at least, so that few draws miss a narrow one."""
BATCH = 8
"""Draws at once, of which the first counts: where some miss, they do not have to be made again one by one."""


class InBudgetGates:
    """The uniform gates, conditioned on a cost window; the dynamic programme is kept until the space changes."""

    def __init__(self, table: CostTable, window: Budget) -> None:
        self.table, self.window = table, window
        self._sampler: WindowSampler | None = None

    def draw(self, space: SearchSpace, rng: np.random.Generator) -> Architecture:
        """One architecture of `space`; raises `BudgetError` where none has a cost inside the window."""
        if self._sampler is None or self._sampler.space != space:
            gates = uniform_probabilities(space)
            width = self.window.high - self.window.low + 1
            bins = min(max(GATE_BINS, WINDOW_BINS * self.window.high // width), values.MAX_BINS)
            self._sampler = WindowSampler(space, self.table, self.window, gates, bins=bins)
        return self._sampler.draw(BATCH, rng)[0]
