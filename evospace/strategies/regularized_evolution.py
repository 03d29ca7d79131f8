"""Regularized evolution: the oldest of a population dies, not the worst.

Source: Real et al., Regularized evolution for image classifier architecture search, AAAI 2019, algorithm 1. No
torch here.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from evospace.config import SearchConfig
from evospace.estimation.evaluation import Evaluation
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchState, TrainedRound
from evospace.strategies.rounds import Scored, closed, everything
from evospace.strategies.spos import FreshDraws, best, new_child
from evospace.strategies.strategy import STRATEGIES, UNIFORM, Strategy
from evospace.strategies.variation import mutated

POPULATION = 0.1
"""P as a share of all evaluations, never below 4; the paper: 100 of 20,000 (it can afford many generations)."""
TOURNAMENT = 0.25
"""S as a share of P, never below 2: 25 of 100 in the paper."""


def regularized_evolution(
    problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState
) -> Iterator[RoundResult]:
    """Aging evolution over the full space; scored by a supernet's weights, or by training each architecture."""
    if state.round:
        return
    alone = settings.score_by == "training"
    trained = lab.train_alone(1, problem.full) if alone else lab.train(1, problem.full, "uniform")
    yield closed(aged(problem, settings, trained), state, everything(problem.full))


def aged(problem: Problem, settings: SearchConfig, trained: TrainedRound) -> Scored:
    """Score `samples` distinct architectures inside the budget; fewer where there are no more.

    The first are drawn from the budget by the initial gates. Then the best of a random tournament is mutated in one
    block (where it has no new child, the best of the population that has one; where none has, the budget is drawn from
    again); its child joins, and the oldest leaves. What could not be scored never joins.
    """
    rng = numpy_generator(settings.seed, "evolution", 1)
    draws = FreshDraws(problem, trained, rng)
    size = max(int(POPULATION * settings.samples), 4)
    scored = Scored(problem=problem, round=1, trained=trained)
    population: deque[Evaluation] = deque(scored.ask(draws.distinct(min(size, settings.samples))), maxlen=size)
    while len(draws.seen) < settings.samples:
        child = _child(population, max(int(TOURNAMENT * size), 2), draws)
        if child is None:
            break
        population.extend(scored.ask([child]))  # a full deque lets its oldest go
    return scored


def _child(population: Sequence[Evaluation], tournament: int, draws: FreshDraws) -> Architecture | None:
    """The winner of a tournament (drawn with replacement, as in the paper) with one block changed."""
    if not population:
        return new_child(draws)
    metric = draws.problem.budget.metric
    drawn = [population[i] for i in draws.rng.integers(len(population), size=tournament)]
    winner = best(drawn, 1, metric)

    def child_of(parent: Architecture) -> Callable[[], Architecture]:
        return lambda: mutated(parent, draws.space, 0.0, draws.rng)

    # In a small window the winner may have no new child, and another one may still have.
    return new_child(draws, *map(child_of, [*winner, *best(population, len(population), metric)]))


STRATEGIES.add(
    "regularized-evolution",
    Strategy(
        search=regularized_evolution,
        rule=lambda settings: None if settings.score_by == "training" else "uniform",
        branches=("single", "multi"),
        honours=UNIFORM | {"score_by"},
    ),
)
