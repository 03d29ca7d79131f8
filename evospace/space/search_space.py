"""A search space: per choice block, the candidates. No torch here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evospace.ops.spec import BlockShape
from evospace.space.architecture import Architecture

Branches = Literal["multi", "single"]
Gates = Literal["uniform", "sparse"]


@dataclass(frozen=True)
class SearchSpace:
    """Candidates per block, and what a block may choose among them.

    A *multi*-branch block chooses any subset of its candidates, a *single*-branch block at most one. A
    required block (a reduction block: stride 2 or other channels) chooses at least one; any other may choose
    none and is then the identity.
    """

    candidates: tuple[tuple[str, ...], ...]
    """Operation names per block; a name occurs once in a block."""
    required: tuple[bool, ...]
    branches: Branches = "multi"
    gates: Gates = "uniform"
    """How likely a block's choices are before anything is learned: each alike, or few operations rather than many
    (`sampling.gates.log_odds`)."""

    def __post_init__(self) -> None:
        assert len(self.candidates) == len(self.required)
        assert all(len(set(names)) == len(names) for names in self.candidates)
        assert all(names for names, needed in zip(self.candidates, self.required, strict=True) if needed)

    @classmethod
    def over(
        cls,
        shapes: Sequence[BlockShape],
        names: Iterable[str],
        branches: Branches = "multi",
        gates: Gates = "uniform",
    ) -> "SearchSpace":
        """The full space: every operation of `names` in every block of a skeleton."""
        pool = tuple(names)
        return cls((pool,) * len(shapes), tuple(not s.keeps_shape for s in shapes), branches, gates)

    def with_candidates(self, candidates: Iterable[Iterable[str]]) -> "SearchSpace":
        """The same blocks with other candidates."""
        return replace(self, candidates=tuple(map(tuple, candidates)))

    def without(self, dropped: Iterable[tuple[int, str]]) -> "SearchSpace":
        """The space less some (block, operation) pairs."""
        gone = set(dropped)
        return self.with_candidates(
            [name for name in names if (b, name) not in gone] for b, names in enumerate(self.candidates)
        )

    def __contains__(self, architecture: Architecture) -> bool:
        return len(architecture.blocks) == len(self.candidates) and all(
            set(chosen) <= set(names)
            and (bool(chosen) or not needed)
            and (self.branches == "multi" or len(chosen) <= 1)
            for chosen, names, needed in zip(architecture.blocks, self.candidates, self.required, strict=True)
        )

    def log10_size(self) -> float:
        """log10 of the number of distinct architectures."""
        counts = []
        for names, needed in zip(self.candidates, self.required, strict=True):
            subsets = 2 ** len(names) if self.branches == "multi" else len(names) + 1
            counts.append(subsets - needed)
        return sum(map(math.log10, counts))
