"""DARTS and ProxylessNAS: learn a probability per candidate, then take the most probable architecture in the budget.

Sources: Liu et al., DARTS, ICLR 2019; Cai et al., ProxylessNAS, ICLR 2019. Their gradients are in
`evospace.training.rules`. Both take the likeliest candidate of each block, which knows no budget; here it is the
likeliest architecture among those inside it, found exactly. No torch here.
"""

from collections.abc import Callable, Iterator
from functools import partial

from evospace.config import SearchConfig
from evospace.sampling.budget import WindowSampler
from evospace.sampling.limits import keeps
from evospace.sampling.most_probable import log_chance, log_chances, most_probable
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.strategies.contract import (
    Lab,
    Problem,
    RoundResult,
    RuleName,
    SearchState,
    TrainedRound,
)
from evospace.strategies.rounds import Scored, closed, everything
from evospace.strategies.strategy import STRATEGIES, Strategy

Search = Callable[[Problem, SearchConfig, Lab, SearchState], Iterator[RoundResult]]


def discretised(
    rule: RuleName, problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState
) -> Iterator[RoundResult]:
    """Train by `rule` over the full space; the front is the one most probable architecture."""
    if state.round:
        return
    trained = lab.train(1, problem.full, rule)
    scored = Scored(problem=problem, round=1, trained=trained)
    scored.ask([_chosen(problem, settings, trained)])
    yield closed(scored, state, everything(problem.full))


def _chosen(problem: Problem, settings: SearchConfig, trained: TrainedRound) -> Architecture:
    """The most probable architecture in the budget; where that breaks a further limit, the best of `samples` draws."""
    space, p = trained.space, trained.probabilities
    best = most_probable(space, problem.table, problem.budget, p)
    if keeps(best, problem.upper):
        return best
    sampler = WindowSampler(space, problem.table, problem.budget, p)
    drawn, _ = sampler.draw_within(settings.samples, numpy_generator(settings.seed, "sample", 1), problem.upper)
    chances = log_chances(space, p)
    return max(drawn, key=lambda a: log_chance(a, space, chances))


def _search(rule: RuleName) -> Search:
    return partial(discretised, rule)


STRATEGIES.add(
    "darts",
    Strategy(
        search=_search("darts"),
        rule=lambda settings: "darts",
        scores=lambda settings, last: 1,
        branches=("single",),
        honours=frozenset({"darts_order"}),
    ),
)
STRATEGIES.add(
    "proxyless",
    Strategy(
        search=_search("proxyless"),
        rule=lambda settings: "proxyless",
        scores=lambda settings, last: 1,
        branches=("single",),
    ),
)
