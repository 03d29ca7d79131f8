"""What all strategies do alike: draw inside the budget, score, and close a round. No torch here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evospace.errors import BudgetError, CollapseError
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.budget import WindowSampler
from evospace.sampling.limits import keeps
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, RoundResult, SearchState, TrainedRound
from evospace.strategies.ledger import rows_of_round
from evospace.strategies.pareto import front_hypervolume, front_of
from evospace.strategies.queues import Names, Queues, Swap, inherit

BELOW = 0.05
"""Share of samples drawn just below the window: they keep the cheap end of the front honest."""


RARE = 1e-3
"""Where costs are binned and less of the draws below the window than this really lies there, none is made: a thousand
draws may take a second, and each round would try a thousand times."""


@dataclass(kw_only=True)
class Scored:
    """What a round has scored so far, in the order asked."""

    problem: Problem
    round: int
    trained: TrainedRound
    evaluations: list[Evaluation] = field(default_factory=list)
    failed: list[tuple[Architecture, str]] = field(default_factory=list)

    def ask(
        self, architectures: Iterable[Architecture], found_in: Mapping[Architecture, int] | None = None
    ) -> list[Evaluation]:
        """Score more; returns those that could be scored. `found_in`: the round that first found an older one."""
        asked = list(architectures)
        new = []
        for architecture, score in zip(asked, self.trained.score(asked), strict=True):
            if isinstance(score, str):
                self.failed.append((architecture, score))
            else:
                round = (found_in or {}).get(architecture, self.round)
                new.append(self.problem.evaluation(architecture, score, round))
        self.evaluations += new
        return new

    def asked(self) -> set[Architecture]:
        """Everything that was to be scored, whether it could be or not."""
        return {*(e.architecture for e in self.evaluations), *(architecture for architecture, _ in self.failed)}

    def front(self) -> list[Evaluation]:
        """The front of everything scored; raises `CollapseError` where nothing inside the budget could be scored."""
        if not any(e.cost(self.problem.budget.metric) in self.problem.budget for e in self.evaluations):
            reason = f" (the first: {self.failed[0][1]})" if self.failed else ""
            raise CollapseError(f"round {self.round}: no architecture inside the budget could be scored{reason}")
        return front_of(self.evaluations, self.problem.budget)


def everything(space: SearchSpace) -> Queues:
    """All of `space` is active, nothing waits."""
    none = ((),) * len(space.candidates)
    return Queues(inherited=none, fresh=space.candidates, waiting=none)


def closed(
    scored: Scored,
    state: SearchState,
    queues: Queues,
    *,
    swaps: Sequence[Swap] = (),
    handed_on: tuple[Names, ...] | None = None,
    rehearsed: float | None = None,
    dropped: Mapping[tuple[int, str], str] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> RoundResult:
    """The result of a round that began in `state` with `queues` and has `scored` everything.

    `handed_on`: per block what goes on to the next round (the operations of the whole front where it is not given);
    `dropped`: why an operation does not.
    """
    front = scored.front()
    problem, trained = scored.problem, scored.trained
    ledger = rows_of_round(scored.round, queues, swaps, dict(trained.fitness), trained.pruned, front, dropped or {})
    return RoundResult(
        state=SearchState(
            round=scored.round,
            rounds=state.rounds,
            inherited=inherit(front, queues.active()) if handed_on is None else handed_on,
            waiting=queues.waiting,
            front=tuple(front),
        ),
        evaluations=tuple(scored.evaluations),
        failed=tuple(scored.failed),
        ledger=tuple(ledger),
        hypervolume=front_hypervolume(front, problem.budget, problem.classes),
        rehearsed_hypervolume=rehearsed,
        summary=dict(summary or {}),
    )


def with_cheaper(n: int) -> int:
    """`n` samples and those just below the window."""
    return n + max(int(BELOW * n), 1)


def sample(
    problem: Problem, trained: TrainedRound, n: int, rng: np.random.Generator
) -> tuple[list[Architecture], dict[str, Any]]:
    """Distinct architectures in the window by the gates' probabilities, and 5 % more just below it where there are any.

    All keep the further upper limits; also returns, for the round's summary, how many draws were rejected for those.
    """
    window = WindowSampler(trained.space, problem.table, problem.budget, trained.probabilities)
    found, rejected = window.draw_within(n, rng, problem.upper)
    below = WindowSampler(trained.space, problem.table, problem.budget.below(), trained.probabilities)
    if below.possible and below.kept > RARE:
        try:
            cheaper = below.draw_distinct(with_cheaper(n) - n, rng)
        except BudgetError:  # the share that is kept is an estimate
            cheaper = []
        kept = [a for a in cheaper if keeps(a, problem.upper)]
        found, rejected = found + kept, rejected + len(cheaper) - len(kept)
    return found, {"rejected": rejected} if problem.limits else {}
