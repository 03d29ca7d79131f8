"""One-Shot: train everything at once with path dropout, then sample.

Source: Bender et al., Understanding and simplifying one-shot architecture search, ICML 2018. No torch here.
"""

from collections.abc import Iterator

from evospace.config import SearchConfig
from evospace.seeding import numpy_generator
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchState, TrainedRound
from evospace.strategies.rounds import Scored, closed, everything, sample, with_cheaper
from evospace.strategies.strategy import STRATEGIES, Strategy


def one_shot(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """One supernet over the full space; random architectures inside the budget are scored with its weights."""
    if state.round:
        return
    scored = sampled(problem, settings, lab.train(1, problem.full, "path-dropout"), 1)
    yield closed(scored, state, everything(problem.full))


def sampled(problem: Problem, settings: SearchConfig, trained: TrainedRound, round: int) -> Scored:
    """Score `samples` random architectures inside the budget, and a few below it."""
    drawn, _ = sample(problem, trained, settings.samples, numpy_generator(settings.seed, "sample", round))
    scored = Scored(problem=problem, round=round, trained=trained)
    scored.ask(drawn)
    return scored


STRATEGIES.add(
    "one-shot",
    Strategy(
        search=one_shot,
        rule=lambda settings: "path-dropout",
        scores=lambda settings, last: with_cheaper(settings.samples),
    ),
)
