"""What every strategy is given, what it may ask of a `Lab`, and what it yields. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.limits import Limits
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.ledger import LedgerRow
from evospace.strategies.queues import Names

RuleName = Literal["nse", "uniform", "path-dropout", "darts", "proxyless"]
"""How the weights, and the fitness if any, are trained: `evospace.training.rules`."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is searched: the full space, its costs, the budget."""

    full: SearchSpace
    tables: Mapping[str, CostTable]
    """`macs` and `params`, and `latency` where the user has a latency table."""
    budget: Budget
    classes: int
    limits: Mapping[str, int] = field(default_factory=dict)
    """Upper limits on further metrics."""

    @property
    def table(self) -> CostTable:
        """The budget's own table."""
        return self.tables[self.budget.metric]

    def evaluation(self, architecture: Architecture, accuracy: float, round: int) -> Evaluation:
        """A scored architecture with its costs."""
        costs = {metric: table.cost(architecture) for metric, table in self.tables.items()}
        return Evaluation(
            architecture=architecture,
            macs=costs["macs"],
            params=costs["params"],
            latency=costs.get("latency"),
            accuracy=accuracy,
            round=round,
        )

    @property
    def upper(self) -> Limits:
        """The further upper limits with their tables."""
        return [(self.tables[metric], high) for metric, high in self.limits.items()]


class TrainedRound(Protocol):
    """What a lab hands back after training one round."""

    @property
    def space(self) -> SearchSpace:
        """The active space less what was pruned."""

    @property
    def probabilities(self) -> Sequence[np.ndarray]:
        """Per block of `space`, the fitness probabilities ``[K]``; the initial ones where none was learned."""

    @property
    def fitness(self) -> Mapping[tuple[int, str], float]:
        """Last alpha of every (block, operation) that was active, less the one it began with."""

    @property
    def pruned(self) -> Sequence[tuple[int, str, int]]:
        """(block, operation, step)."""

    def score(self, architectures: Sequence[Architecture]) -> Sequence[float | str]:
        """In order: each architecture's accuracy under this round's weights, or the reason why it has none.

        May be called again and again. A search that was ended asks the same in the same order when it goes on, and
        gets what was scored before without scoring it anew.
        """

    def turned(self) -> Mapping[tuple[int, str], tuple[float, float, float]]:
        """How far training turned the weights of each active (block, operation): <w0, w>, |w0|^2 and |w|^2.

        w0 are the first round's initial weights. The key ``(-1, "")`` holds the part that all share (stem, head).
        """


class Lab(Protocol):
    """Trains and scores. Rounds are asked for in order from 1."""

    def train(
        self,
        round: int,
        space: SearchSpace,
        rule: RuleName,
        *,
        locked: frozenset[tuple[int, str]] = frozenset(),
        go_on: bool = False,
    ) -> TrainedRound:
        """Train a supernet over `space` by `rule`; operations in `locked` may not be pruned.

        `go_on`: with the weights of the round before, where NSE's own setting does not ask for that anyway.
        """

    def train_alone(self, round: int, space: SearchSpace) -> TrainedRound:
        """No supernet: each architecture that is to be scored is trained by itself first."""


@dataclass(frozen=True, kw_only=True)
class SearchState:
    """All that the next round needs; written at the end of each round."""

    round: int
    """Rounds finished."""
    rounds: int
    """R: so many there will be. With NSE, every operation has been active in every block after them."""
    inherited: tuple[Names, ...]
    waiting: tuple[Names, ...]
    front: tuple[Evaluation, ...] = ()

    def last(self, max_rounds: int) -> int:
        """Number of the last round; `max_rounds` may end the search earlier, 0 does not."""
        return min(max_rounds or self.rounds, self.rounds)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "round": self.round,
            "rounds": self.rounds,
            "inherited": [list(names) for names in self.inherited],
            "waiting": [list(names) for names in self.waiting],
            "front": [e.to_json() for e in self.front],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SearchState":
        """The inverse of `to_json`."""
        return cls(
            round=data["round"],
            rounds=data["rounds"],
            inherited=tuple(map(tuple, data["inherited"])),
            waiting=tuple(map(tuple, data["waiting"])),
            front=tuple(map(Evaluation.from_json, data["front"])),
        )


@dataclass(frozen=True, kw_only=True)
class RoundResult:
    """What one round came to."""

    state: SearchState
    evaluations: tuple[Evaluation, ...]
    """Everything scored this round, the rehearsed front first."""
    failed: tuple[tuple[Architecture, str], ...]
    """What could not be scored, and why."""
    ledger: tuple[LedgerRow, ...]
    hypervolume: float
    rehearsed_hypervolume: float | None
    """Of the previous front under this round's weights; comparable with `hypervolume`."""
    summary: dict[str, Any] = field(default_factory=dict)
