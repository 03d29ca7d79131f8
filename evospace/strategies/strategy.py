"""A search strategy under a name, and all of them. No torch here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evospace.config import SearchConfig
from evospace.registry import Registry
from evospace.space.search_space import Branches
from evospace.strategies.contract import Lab, Problem, RoundResult, RuleName, SearchState

STRATEGIES: Registry["Strategy"] = Registry("strategy")
"""By name; `evospace.strategies` registers its own."""


UNIFORM = frozenset({"train_gates", "gates_window"})
"""Settings that training by the rule "uniform" reads."""


def _one_round(operations: int, settings: SearchConfig) -> int:
    return 1


def _everything(state: SearchState, settings: SearchConfig) -> list[int]:
    return [max(map(len, state.waiting))]


def _samples(settings: SearchConfig, last: bool) -> int:
    return settings.samples


def _nothing(problem: Problem, settings: SearchConfig, state: SearchState) -> None:
    """A space that reaches the budget as a whole is searched as a whole."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How architectures are found in a full space under a budget.

    `search` yields the result of every round after the given state. It draws from generators seeded by
    (seed, purpose, round) alone, and asks the lab for the same in the same order whenever it goes on from a state, so
    that a search can be ended at any moment and goes on exactly. Every member of a front is inside the budget.
    """

    search: Callable[[Problem, SearchConfig, Lab, SearchState], Iterator[RoundResult]]
    rule: Callable[[SearchConfig], RuleName | None]
    """What most of its training is; `None` where no supernet is trained. Tells the forecast what to time."""
    branches: tuple[Branches, ...] = ("multi", "single")
    """What it is defined for; the first is the default."""
    honours: frozenset[str] = frozenset()
    """Settings of a search that only some strategies read, and this one does."""
    rounds: Callable[[int, SearchConfig], int] = _one_round
    """How many rounds it takes, given the operations per block."""
    scores_every_round: bool = False
    """Whether each round scores `samples` architectures; else the last one alone does."""
    scores: Callable[[SearchConfig, bool], int] = _samples
    """How many architectures a round scores, at most or nearly; the second argument tells whether it is the last."""
    check: Callable[[Problem, SearchConfig, SearchState], object] = _nothing
    """Raises `BudgetError` where the round after a state cannot begin; the first is tried before anything is made."""
    sizes: Callable[[SearchState, SearchConfig], list[int]] = _everything
    """Operations per block in each round to come."""
