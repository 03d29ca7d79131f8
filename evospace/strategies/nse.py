"""Neural Search-space Evolution: the loop (docs/method.md).

Source: Ci et al., Evolving Search Space for Neural Architecture Search, ICCV 2021. The strategy decides what
is active, what is scored and what is inherited; a `Lab` trains and scores. No torch here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from evospace.config import SearchConfig
from evospace.estimation.evaluation import Evaluation
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.strategies.contract import Lab, Problem, RoundResult, SearchState
from evospace.strategies.pareto import front_hypervolume, survivors
from evospace.strategies.queues import Names, Queues, Swap, default_rounds, inherit, reach, refill
from evospace.strategies.rounds import Scored, closed, sample, with_cheaper
from evospace.strategies.spos import LEAST, FreshDraws, ask_variations
from evospace.strategies.strategy import STRATEGIES, Strategy

INHERITED = 1
"""Operations per block that a front hands on: what the searches of docs/studies/held-out-cifar had on average."""


EVOLVED = 0.5
"""Share of a round's samples that are variations of its best, where evolution samples."""
GENERATIONS = 5


def first_state(waiting: tuple[Names, ...], rounds: int) -> SearchState:
    """Nothing searched yet: every operation waits, in the queues' order."""
    return SearchState(round=0, rounds=rounds, inherited=((),) * len(waiting), waiting=waiting)


def extended(state: SearchState, new: tuple[Names, ...], k: int) -> SearchState:
    """The state with `new` operations of each block at the end of its queue, and as many more rounds as they need.

    K - 1 of them in each round beside one inherited operation, as `default_rounds` has it.
    """
    waiting = tuple(old + more for old, more in zip(state.waiting, new, strict=True))
    more = math.ceil(max(map(len, waiting)) / (k - 1))
    return replace(state, waiting=waiting, rounds=state.round + more)


def evolve(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """Run the rounds after `state`, yielding each as it ends.

    After the last round every operation has been active once in every block. Raises `BudgetError` where a
    round cannot reach the budget.
    """
    for round in range(state.round + 1, state.last(settings.max_rounds) + 1):
        result = run_round(problem, settings, lab, state, round)
        yield result
        state = result.state


def refilled(problem: Problem, settings: SearchConfig, state: SearchState) -> tuple[Queues, list[Swap]]:
    """What the round after `state` searches; raises `BudgetError` where that can keep neither budget nor limits."""
    left = state.rounds - state.round
    queues = refill(state.inherited, state.waiting, k=settings.candidates, rounds_left=left, how=settings.refill)
    return reach(queues, problem.full, problem.table, problem.budget, problem.upper)


def run_round(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState, round: int) -> RoundResult:
    """One round: refill, train, sample, score, rehearse, keep the front, inherit."""
    queues, swaps = refilled(problem, settings, state)
    inherited = [(b, name) for b, names in enumerate(queues.inherited) for name in names]
    locked = frozenset(inherited if settings.lock else ())
    trained = lab.train(round, problem.full.with_candidates(queues.active()), "nse", locked=locked)

    # Where the best alone hands on, or nothing is locked, the space may have lost what a member of the old front needs.
    old = [e.architecture for e in state.front if settings.rehearse and e.architecture in trained.space]
    found_in = {e.architecture: e.round for e in state.front}
    varied = int(EVOLVED * settings.samples) if settings.sampling == "evolution" else 0
    rng = numpy_generator(settings.seed, "sample", round)
    drawn, summary = sample(problem, trained, settings.samples - varied, rng)
    scored = Scored(problem=problem, round=round, trained=trained)
    scored.ask([*old, *(a for a in drawn if a not in old)], found_in)
    if varied:
        draws = FreshDraws(problem, trained, rng, seen=scored.asked())
        ask_variations(scored, draws, varied, max(varied // GENERATIONS, LEAST))
    front = scored.front()
    return closed(
        scored,
        state,
        queues,
        swaps=swaps,
        handed_on=inherit(front[-1:] if settings.inherit_from == "best" else front, queues.active()),
        rehearsed=_rehearsed(problem, scored.evaluations, set(old)) if old else None,
        summary=summary,
    )


def _rehearsed(problem: Problem, scored: Sequence[Evaluation], old: set[Architecture]) -> float | None:
    """Hypervolume of the previous front alone, under the same weights and beside the same cheaper architectures.

    Never above the new front's: what survives here survives there or is dominated by a newcomer. `None` where the
    cheaper ones dominate all of it; a new front keeps its most accurate then, which makes no comparison.
    """
    budget = problem.budget
    cheaper = [e for e in scored if e.architecture not in old and e.cost(budget.metric) not in budget]
    rehearsed = [e for e in scored if e.architecture in old]
    left = survivors([*rehearsed, *cheaper], budget)
    return front_hypervolume(left, budget, problem.classes) if left else None


def active_sizes(state: SearchState, settings: SearchConfig) -> list[int]:
    """Operations per block in each of the rounds to come, where a front hands `INHERITED` of them on."""
    sizes, waiting = [], max(map(len, state.waiting))
    inherited = min(state.round, 1) * INHERITED
    for left in range(state.rounds - state.round, 0, -1):
        room = settings.candidates - inherited if settings.refill == "full" else 0
        fresh = min(max(room, math.ceil(waiting / left)), waiting)
        sizes.append(inherited + fresh)
        waiting, inherited = waiting - fresh, INHERITED
    return sizes


STRATEGIES.add(
    "nse",
    Strategy(
        search=evolve,
        rule=lambda settings: "nse",
        honours=frozenset(
            {
                "candidates",
                "refill",
                "max_rounds",
                "weights",
                "train_gates",
                "gates_window",
                "fitness_pairs",
                "prune_threshold",
                "lock",
                "rehearse",
                "inherit_from",
                "sampling",
            }
        ),
        scores_every_round=True,
        scores=lambda settings, last: with_cheaper(settings.samples),
        rounds=lambda operations, settings: default_rounds(operations, settings.candidates),
        sizes=active_sizes,
        check=refilled,
    ),
)
