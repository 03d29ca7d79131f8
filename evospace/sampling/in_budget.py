"""Gates for steps that train only what lies near the budget. No torch here."""

from collections.abc import Sequence

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.sampling.values import most_bins
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

GATE_BINS = 2_000
"""Cost bins of the sampler that weight steps draw from: a draw takes a millisecond, and of gates that hold few
operations about one in thirty is dropped by the exact check."""
WINDOW_BINS = 8
"""Bins of the window at least, so that few draws miss a narrow one."""
BATCH = 8
"""Draws at once, of which the first counts: where some miss, they do not have to be made again one by one. Where less
than one of them is kept, bins are too wide: roundings of many operations add up."""


class InBudgetGates:
    """Gates conditioned on a cost window."""

    def __init__(self, table: CostTable, window: Budget) -> None:
        self.table, self.window = table, window
        self._initial: WindowSampler | None = None

    def draw(self, space: SearchSpace, rng: np.random.Generator) -> Architecture:
        """One architecture of `space` by the initial gates; raises `BudgetError` where none costs what the window says.

        The dynamic programme is kept until the space changes.
        """
        return self._by_initial_gates(space).draw(BATCH, rng)[0]

    def draw_two(
        self, space: SearchSpace, probabilities: Sequence[np.ndarray], rng: np.random.Generator
    ) -> tuple[Architecture, Architecture]:
        """Two independent architectures by `probabilities` (per block ``[K]``), raises as `draw` does."""
        bins = self._by_initial_gates(space).bins
        first, second, *_ = WindowSampler(space, self.table, self.window, probabilities, bins=bins).draw(BATCH, rng)
        return first, second

    def _by_initial_gates(self, space: SearchSpace) -> WindowSampler:
        if self._initial is None or self._initial.space != space:
            width, most = self.window.high - self.window.low + 1, most_bins(space)
            bins = min(max(GATE_BINS, WINDOW_BINS * self.window.high // width), most)
            gates = initial_probabilities(space)
            made = WindowSampler(space, self.table, self.window, gates, bins=bins)
            while made.kept < 1 / BATCH and bins < most:
                bins = min(2 * bins, most)
                made = WindowSampler(space, self.table, self.window, gates, bins=bins)
            self._initial = made
        return self._initial
