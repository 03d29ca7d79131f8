"""Gates for steps that train only what lies near the budget. No torch here."""

from collections.abc import Sequence

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling import values
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
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
    """Gates conditioned on a cost window."""

    def __init__(self, table: CostTable, window: Budget) -> None:
        self.table, self.window = table, window
        self._sampler: WindowSampler | None = None

    def draw(self, space: SearchSpace, rng: np.random.Generator) -> Architecture:
        """One architecture of `space` by the initial gates; raises `BudgetError` where none costs what the window says.

        The dynamic programme is kept until the space changes.
        """
        if self._sampler is None or self._sampler.space != space:
            self._sampler = self._over(space, initial_probabilities(space))
        return self._sampler.draw(BATCH, rng)[0]

    def draw_two(
        self, space: SearchSpace, probabilities: Sequence[np.ndarray], rng: np.random.Generator
    ) -> tuple[Architecture, Architecture]:
        """Two independent architectures by `probabilities` (per block ``[K]``), raises as `draw` does."""
        first, second, *_ = self._over(space, probabilities).draw(BATCH, rng)
        return first, second

    def _over(self, space: SearchSpace, probabilities: Sequence[np.ndarray]) -> WindowSampler:
        width = self.window.high - self.window.low + 1
        bins = min(max(GATE_BINS, WINDOW_BINS * self.window.high // width), values.MAX_BINS)
        return WindowSampler(space, self.table, self.window, probabilities, bins=bins)
