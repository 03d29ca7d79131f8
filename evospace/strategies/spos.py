"""SPOS: uniform sampling trains the supernet, then evolution searches it under the budget.

Source: Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, ECCV 2020, algorithm 1.
No torch here.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from evospace.config import SearchConfig
from evospace.errors import BudgetError
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchState, TrainedRound
from evospace.strategies.rounds import Scored, closed, everything
from evospace.strategies.strategy import STRATEGIES, UNIFORM, Strategy
from evospace.strategies.variation import crossed, fits, mutated

GENERATIONS = 10
"""Populations in all. The paper's 1,000 evaluations are 20 of 50; with fewer evaluations, larger populations found more
(`benchmarks/nas_bench_macro.py`: 200 evaluations, other seeds than it reports)."""
LEAST = 4
"""A population is never smaller: half of it is mutated, half crossed."""
PARENTS = 0.2
"""Share of a population's size that is kept as parents: 10 of 50 in the paper."""
RATE = 0.1
"""Probability that a block is mutated, as in the paper."""
TRIES = 100
"""Variations made of the parents for one child inside the budget, before a fresh one is drawn."""


def spos(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """One supernet over the full space, then the evolutionary search."""
    if state.round:
        return
    scored = evolutionary(problem, settings, lab.train(1, problem.full, "uniform"), 1)
    yield closed(scored, state, everything(problem.full))


def evolutionary(problem: Problem, settings: SearchConfig, trained: TrainedRound, round: int) -> Scored:
    """Score `samples` distinct architectures inside the budget, a generation at a time; fewer where there are no more.

    The first generation is drawn from the budget by the initial gates. Of each later one, half are mutated and half
    crossed from the best so far.
    """
    rng = numpy_generator(settings.seed, "evolution", round)
    draws = FreshDraws(problem, trained, rng)
    population = max(settings.samples // GENERATIONS, LEAST)
    scored = Scored(problem=problem, round=round, trained=trained)
    scored.ask(draws.distinct(min(population, settings.samples)))
    ask_variations(scored, draws, settings.samples - len(draws.seen), population)
    return scored


def ask_variations(scored: Scored, draws: "FreshDraws", n: int, population: int) -> None:
    """Score `n` more, a generation of `population` at a time: variations of the best so far, half of them mutated."""
    budget = scored.problem.budget
    while n > 0:
        inside = [e for e in scored.evaluations if e.cost(budget.metric) in budget]  # nse scores some below it
        parents = best(inside, max(math.ceil(PARENTS * population), 2), budget.metric)
        children = [child for i in range(min(population, n)) if (child := _child(parents, i, draws))]
        if not children:
            return
        scored.ask(children)
        n -= len(children)


class FreshDraws:
    """Architectures that were not asked for before, drawn from the budget by the initial gates or by a variation."""

    def __init__(
        self, problem: Problem, trained: TrainedRound, rng: np.random.Generator, seen: Iterable[Architecture] = ()
    ) -> None:
        space = trained.space
        self.problem, self.space, self.rng = problem, space, rng
        self.seen: set[Architecture] = set(seen)
        self._sampler = WindowSampler(space, problem.table, problem.budget, initial_probabilities(space))
        self._exhausted = False

    def distinct(self, n: int) -> list[Architecture]:
        """Up to `n` draws that are new; raises `BudgetError` where nothing at all keeps the further limits.

        Where that has found none once, it is not tried again: it takes long, and there is hardly anything left.
        """
        new, drawn = list[Architecture](), list[Architecture]()
        if self._exhausted:
            return new
        for more in (n, n + len(self.seen)):  # most often a few are enough
            try:
                drawn, _ = self._sampler.draw_within(more, self.rng, self.problem.upper)
            except BudgetError:
                if not self.seen:
                    raise
                drawn = []  # rejection found none this time
            new = [a for a in drawn if a not in self.seen][:n]
            if len(new) == n:
                break
        self._exhausted = bool(drawn) and not new  # where rejection found nothing at all, another try may
        self.seen.update(new)
        return new


def best(evaluations: Sequence[Evaluation], n: int, metric: str) -> list[Architecture]:
    """The `n` most accurate, of equal ones the cheaper first."""
    return [e.architecture for e in sorted(evaluations, key=lambda e: (-e.accuracy, e.cost(metric)))[:n]]


def new_child(draws: FreshDraws, *ways: Callable[[], Architecture]) -> Architecture | None:
    """A variation that is new and inside the budget: `TRIES` made in each of the `ways`, then a fresh draw.

    `None` where none is left.
    """
    for make in ways:
        for _ in range(TRIES):
            child = make()
            if child not in draws.seen and fits(child, draws.problem):
                draws.seen.add(child)
                return child
    return next(iter(draws.distinct(1)), None)


def _child(parents: Sequence[Architecture], index: int, draws: FreshDraws) -> Architecture | None:
    """Crossed where `index` is odd and a cross is new (few parents have few), else mutated."""
    rng, space = draws.rng, draws.space
    if not parents:
        return new_child(draws)

    def cross() -> Architecture:
        first, second = (parents[i] for i in rng.integers(len(parents), size=2))
        return crossed(first, second, rng)

    def mutate() -> Architecture:
        return mutated(parents[int(rng.integers(len(parents)))], space, RATE, rng)

    return new_child(draws, cross, mutate) if index % 2 else new_child(draws, mutate)


STRATEGIES.add(
    "spos",
    Strategy(
        search=spos,
        rule=lambda settings: "uniform",
        branches=("single", "multi"),
        honours=UNIFORM,
    ),
)
