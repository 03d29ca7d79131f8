"""One cost arithmetic: MACs, parameters and latency are all additive tables. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """Cost of an architecture = `fixed` + the costs of its (block, operation) pairs, in whole units."""

    metric: str
    """`macs`, `params`, `latency`, or what several limits come to together."""
    fixed: int
    """Stem and head."""
    ops: tuple[Mapping[str, int], ...]
    """Per block: operation name -> cost."""

    def cost(self, architecture: Architecture) -> int:
        """The cost of one architecture."""
        pairs = zip(architecture.blocks, self.ops, strict=True)
        return self.fixed + sum(costs[name] for names, costs in pairs for name in names)

    def expected(self, space: SearchSpace, probabilities: Sequence[np.ndarray]) -> float:
        """Mean cost of an architecture drawn from the product of the blocks' distributions.

        `probabilities`: per block ``K`` inclusion probabilities, in the order of the candidates: Bernoulli in
        a multi-branch space (a required block conditioned on not being empty), one-of-K in a
        single-branch one.
        """
        total = float(self.fixed)
        for names, needed, p, costs in zip(space.candidates, space.required, probabilities, self.ops, strict=True):
            mean = float(np.dot(p, [costs[name] for name in names])) if names else 0.0
            conditioned = needed and space.branches == "multi"
            total += mean / (1.0 - float(np.prod(1.0 - p))) if conditioned else mean
        return total

    def bounds(self, space: SearchSpace) -> tuple[int, int]:
        """Cheapest and dearest architecture of the space."""
        low, high = self.fixed, self.fixed
        for names, needed, costs in zip(space.candidates, space.required, self.ops, strict=True):
            values = [costs[name] for name in names]
            low += min(values) if needed else 0
            high += sum(values) if space.branches == "multi" else max(values, default=0)
        return low, high
