"""A last round for the best networks of a search: each trained on by itself, and scored again. No torch here.

Scores under shared weights hardly tell the best networks from one another: their errors are those of the weights, and
more images to score on do not mend them (docs/results.md, "What the last pick is worth"). A few steps with weights of
its own tell more of a network. Not of the paper, which retrains the whole of its last front.
"""

from collections.abc import Iterator
from dataclasses import replace

from evospace.estimation.evaluation import Evaluation
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchSettings, SearchState
from evospace.strategies.queues import Queues, inherit
from evospace.strategies.rounds import Scored, closed
from evospace.strategies.strategy import Strategy

FINALISTS = 6
"""Networks that share the epochs of the last round, where the front has not more: about 45 steps each where a search
has seven epochs of CIFAR-10, the fewest that told more than the shared weights did."""


def with_last(state: SearchState, settings: SearchSettings) -> SearchState:
    """A state of the strategy's own rounds, with the one of finalists counted in, if there is to be one."""
    return replace(state, rounds=state.rounds + _last(settings))


def without_last(state: SearchState, settings: SearchSettings) -> SearchState:
    """The inverse of `with_last`: the state as the strategy sees it."""
    return replace(state, rounds=state.rounds - _last(settings))


def search_rounds(
    strategy: Strategy, problem: Problem, settings: SearchSettings, lab: Lab, state: SearchState
) -> Iterator[RoundResult]:
    """The strategy's rounds after `state`, and then the one of finalists where `finalist_epochs` asks for it."""
    for result in strategy.search(problem, settings, lab, without_last(state, settings)):
        state = replace(result.state, rounds=state.rounds)
        yield replace(result, state=state)
    stop = min(settings.stop_after or state.rounds, state.rounds)
    if settings.finalist_epochs and state.round == state.rounds - 1 < stop:
        yield finals(problem, lab, state)


def finals(problem: Problem, lab: Lab, state: SearchState) -> RoundResult:
    """The round in which the finalists are trained on and scored again; its front is of these scores alone."""
    scored = [
        problem.evaluation(architecture, accuracy, state.round) for architecture, accuracy in lab.scored(state.round)
    ]
    chosen = finalists(problem, state.front, scored)
    round = state.round + 1
    active = inherit(chosen, problem.full.candidates)
    trained = lab.train_finalists(round, problem.full.with_candidates(active), len(chosen))
    again = Scored(problem=problem, round=round, trained=trained)
    again.ask([e.architecture for e in chosen], {e.architecture: e.round for e in chosen})
    queues = Queues(inherited=active, fresh=((),) * len(active), waiting=state.waiting)
    return closed(again, state, queues)


def finalists(problem: Problem, front: tuple[Evaluation, ...], scored: list[Evaluation]) -> list[Evaluation]:
    """The whole front, and the most accurate others inside the budget until there are `FINALISTS`; best first."""
    members = {e.architecture for e in front}
    budget = problem.budget
    others = {e.architecture: e for e in scored if e.architecture not in members and e.cost(budget.metric) in budget}
    rest = sorted(others.values(), key=lambda e: (-e.accuracy, e.cost(budget.metric)))
    return [*reversed(front), *rest[: max(FINALISTS - len(front), 0)]]


def _last(settings: SearchSettings) -> int:
    return 1 if settings.finalist_epochs else 0
