"""The honest floors: random search with weight sharing, and one random draw.

Source of the first: Li & Talwalkar, Random search and reproducibility for NAS, UAI 2019, section 3. No torch here.
"""

from collections.abc import Iterator

from evospace.config import SearchConfig
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.seeding import numpy_generator
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchState
from evospace.strategies.one_shot import sampled
from evospace.strategies.rounds import Scored, closed, everything, with_cheaper
from evospace.strategies.strategy import STRATEGIES, UNIFORM, Strategy


def random_search(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """A supernet trained by uniform sampling; random architectures inside the budget are scored with its weights."""
    if state.round:
        return
    scored = sampled(problem, settings, lab.train(1, problem.full, "uniform"), 1)
    yield closed(scored, state, everything(problem.full))


def random_draw(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """One random architecture inside the budget, trained by itself: what a search has to beat."""
    if state.round:
        return
    full = problem.full
    sampler = WindowSampler(full, problem.table, problem.budget, initial_probabilities(full))
    drawn, _ = sampler.draw_within(1, numpy_generator(settings.seed, "sample", 1), problem.upper)
    scored = Scored(problem=problem, round=1, trained=lab.train_alone(1, full))
    scored.ask(drawn)
    yield closed(scored, state, everything(full))


STRATEGIES.add(
    "random",
    Strategy(
        search=random_search,
        rule=lambda settings: "uniform",
        scores=lambda settings, last: with_cheaper(settings.samples),
        branches=("single", "multi"),
        honours=UNIFORM,
    ),
)
STRATEGIES.add(
    "random-draw",
    Strategy(
        search=random_draw,
        rule=lambda settings: None,
        scores=lambda settings, last: 1,
    ),
)
