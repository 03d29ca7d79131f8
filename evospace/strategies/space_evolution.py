"""Neural Search-space Evolution: the loop (docs/method.md, section 2).

Source: Ci et al., Evolving Search Space for Neural Architecture Search, ICCV 2021. The strategy decides what
is active, what is scored and what is inherited; a `Lab` trains and scores. No torch here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.errors import CollapseError
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.budget import Limits, WindowSampler, keeps
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.ledger import LedgerRow, rows_of_round
from evospace.strategies.pareto import front_hypervolume, front_of, survivors
from evospace.strategies.queues import Names, Queues, inherit, reach, refill

BELOW = 0.05
"""Share of samples drawn just below the window: they keep the cheap end of the front honest."""


class TrainedRound(Protocol):
    """What a lab hands back after training one round."""

    @property
    def space(self) -> SearchSpace:
        """The active space less what was pruned."""

    @property
    def probabilities(self) -> Sequence[np.ndarray]:
        """Per block of `space`, the fitness probabilities ``[K]``."""

    @property
    def fitness(self) -> Mapping[tuple[int, str], float]:
        """Last alpha of every (block, operation) that was active."""

    @property
    def pruned(self) -> Sequence[tuple[int, str, int]]:
        """(block, operation, step)."""

    def score(self, architectures: Sequence[Architecture]) -> Sequence[float | str]:
        """In order: each architecture's accuracy under this round's weights, or the reason why it has none."""


class Lab(Protocol):
    """Trains and scores. Called once per round, rounds in order from 1."""

    def train(self, round: int, space: SearchSpace, locked: frozenset[tuple[int, str]]) -> TrainedRound:
        """Train a supernet over `space`; operations in `locked` may not be pruned."""


@dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """The method's own settings."""

    stop_after: int = 0
    """Stop after this many rounds, which leaves operations waiting in the queues; 0 runs all."""
    candidates: int = 5
    """K: operations per block that a round searches at most, where the front is not richer."""
    samples: int = 200
    """Architectures sampled and scored per round (authors: 2,000)."""
    seed: int = 0


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


@dataclass(frozen=True, kw_only=True)
class EvolutionState:
    """All that the next round needs; written at the end of each round."""

    round: int
    """Rounds finished."""
    rounds: int
    """R: after this many rounds every operation has been active in every block."""
    inherited: tuple[Names, ...]
    waiting: tuple[Names, ...]
    front: tuple[Evaluation, ...] = ()

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
    def from_json(cls, data: dict[str, Any]) -> "EvolutionState":
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

    state: EvolutionState
    queues: Queues
    evaluations: tuple[Evaluation, ...]
    """Everything scored this round, the rehearsed front first."""
    failed: tuple[tuple[Architecture, str], ...]
    """What could not be scored, and why."""
    ledger: tuple[LedgerRow, ...]
    hypervolume: float
    rehearsed_hypervolume: float | None
    """Of the previous front under this round's weights; comparable with `hypervolume`."""
    summary: dict[str, Any] = field(default_factory=dict)


def first_state(waiting: tuple[Names, ...], rounds: int) -> EvolutionState:
    """Nothing searched yet: every operation waits, in the queues' order."""
    return EvolutionState(round=0, rounds=rounds, inherited=((),) * len(waiting), waiting=waiting)


def extended(state: EvolutionState, new: tuple[Names, ...], k: int) -> EvolutionState:
    """The state with `new` operations of each block at the end of its queue, and as many more rounds as they need.

    K - 1 of them in each round beside one inherited operation, as `default_rounds` has it.
    """
    waiting = tuple(old + more for old, more in zip(state.waiting, new, strict=True))
    more = math.ceil(max(map(len, waiting)) / (k - 1))
    return replace(state, waiting=waiting, rounds=state.round + more)


def evolve(problem: Problem, settings: EvolutionSettings, lab: Lab, state: EvolutionState) -> Iterator[RoundResult]:
    """Run the rounds after `state`, yielding each as it ends.

    After the last round every operation has been active once in every block. Raises `BudgetError` where a
    round cannot reach the budget.
    """
    last = min(settings.stop_after or state.rounds, state.rounds)
    for round in range(state.round + 1, last + 1):
        result = run_round(problem, settings, lab, state, round)
        yield result
        state = result.state


def run_round(
    problem: Problem, settings: EvolutionSettings, lab: Lab, state: EvolutionState, round: int
) -> RoundResult:
    """One round: refill, train, sample, score, rehearse, keep the front, inherit."""
    rounds_left = state.rounds - round + 1
    queues = refill(state.inherited, state.waiting, k=settings.candidates, rounds_left=rounds_left)
    queues, swaps = reach(queues, problem.full, problem.table, problem.budget)
    locked = frozenset((b, name) for b, names in enumerate(queues.inherited) for name in names)
    trained = lab.train(round, problem.full.with_candidates(queues.active()), locked)

    old = [e.architecture for e in state.front]
    found_in = {e.architecture: e.round for e in state.front}
    drawn, rejected = sample(problem, settings, trained, round)
    new = [a for a in drawn if a not in found_in]
    scores = list(zip([*old, *new], trained.score([*old, *new]), strict=True))
    scored = [problem.evaluation(a, s, found_in.get(a, round)) for a, s in scores if not isinstance(s, str)]
    failed = tuple((a, s) for a, s in scores if isinstance(s, str))
    front = front_of(scored, problem.budget)
    if not front:
        reason = f" (the first: {failed[0][1]})" if failed else ""
        raise CollapseError(f"round {round}: no architecture inside the budget could be scored{reason}")
    return RoundResult(
        state=EvolutionState(
            round=round,
            rounds=state.rounds,
            inherited=inherit(front, queues.active()),
            waiting=queues.waiting,
            front=tuple(front),
        ),
        queues=queues,
        evaluations=tuple(scored),
        failed=failed,
        ledger=tuple(rows_of_round(round, queues, swaps, dict(trained.fitness), trained.pruned, front)),
        hypervolume=front_hypervolume(front, problem.budget, problem.classes),
        rehearsed_hypervolume=_rehearsed(problem, scored, set(old)) if old else None,
        summary={"rejected": rejected} if problem.limits else {},
    )


def _rehearsed(problem: Problem, scored: Sequence[Evaluation], old: set[Architecture]) -> float:
    """Hypervolume of the previous front alone, under the same weights and beside the same cheaper architectures.

    Never above the new front's: what survives here survives there or is dominated by a newcomer.
    """
    budget = problem.budget
    cheaper = [e for e in scored if e.architecture not in old and e.cost(budget.metric) not in budget]
    rehearsed = [e for e in scored if e.architecture in old]
    return front_hypervolume(survivors([*rehearsed, *cheaper], budget), budget, problem.classes)


def sample(
    problem: Problem, settings: EvolutionSettings, trained: TrainedRound, round: int
) -> tuple[list[Architecture], int]:
    """Distinct architectures in the window by fitness, and 5 % more just below it (where there are any).

    All keep the further upper limits; also returns how many draws were rejected for those.
    """
    rng = numpy_generator(settings.seed, "sample", round)
    window = WindowSampler(trained.space, problem.table, problem.budget, trained.probabilities)
    inside, rejected = window.draw_within(settings.samples, rng, problem.upper)
    below = WindowSampler(trained.space, problem.table, problem.budget.below(), trained.probabilities)
    if not below.possible:
        return inside, rejected
    cheaper = below.draw_distinct(max(int(BELOW * settings.samples), 1), rng)
    kept = [a for a in cheaper if keeps(a, problem.upper)]
    return inside + kept, rejected + len(cheaper) - len(kept)
