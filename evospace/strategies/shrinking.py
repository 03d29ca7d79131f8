"""Search-space simplification: shrink the full space step by step, then search what is left.

Source: Hu et al., Angle-based search space shrinking for NAS (ABS), ECCV 2020: the supernet over the full space is
trained by uniform sampling; the operations whose weights training turned least are dropped; it goes on with the same
weights (algorithm 1). Dropping by fitness instead takes NSE's learned logit. No torch here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from evospace.config import SearchConfig
from evospace.sampling.gates import draw, initial_probabilities
from evospace.sampling.limits import within_reach
from evospace.seeding import numpy_generator
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import (
    Lab,
    Problem,
    RoundResult,
    RuleName,
    SearchState,
    TrainedRound,
)
from evospace.strategies.one_shot import sampled
from evospace.strategies.queues import Names, Queues
from evospace.strategies.rounds import closed, everything, with_cheaper
from evospace.strategies.spos import evolutionary
from evospace.strategies.strategy import STRATEGIES, UNIFORM, Strategy

DRAWS = 1000
"""Architectures whose angles are averaged for each operation, as in ABS (section 4)."""
SCORED = 10
"""Architectures scored at the end of a stage that is not the last, and one just below the budget, to show where the
search stands: nothing depends on them."""
SHARED = (-1, "")
"""The part that all architectures share, in `TrainedRound.turned`."""
Pair = tuple[int, str]


def stages(operations: int, settings: SearchConfig) -> list[int]:
    """Operations per block in each stage: halved until `candidates` are left."""
    sizes = [operations]
    while sizes[-1] > settings.candidates:
        sizes.append(max(math.ceil(sizes[-1] / 2), settings.candidates))
    return sizes


def shrinking(problem: Problem, settings: SearchConfig, lab: Lab, state: SearchState) -> Iterator[RoundResult]:
    """A round per stage: train, score, drop the worst half of every block. The last is searched as `then` says."""
    sizes = stages(max(map(len, problem.full.candidates)), settings)
    for round in range(state.round + 1, state.rounds + 1):
        space = problem.full.with_candidates(state.inherited) if round > 1 else problem.full
        last = round == state.rounds
        trained = lab.train(round, space, _rule(settings, last), locked=_pairs(space), go_on=round > 1)
        search = evolutionary if last and settings.then == "spos" else sampled
        wanted = replace(settings, samples=_samples(settings, last))
        scored = search(problem, wanted, trained, round)
        dropped = {} if last else _dropped(problem, settings, trained, round, sizes[round])
        queues = everything(space)
        if round > 1:
            queues = Queues(inherited=space.candidates, fresh=queues.waiting, waiting=queues.waiting)
        kept = None if last else space.without(dropped).candidates
        result = closed(scored, state, queues, handed_on=kept, dropped=dropped)
        yield result
        state = result.state


def _samples(settings: SearchConfig, last: bool) -> int:
    return settings.samples if last else min(settings.samples, SCORED)


def _scores(settings: SearchConfig, last: bool) -> int:
    wanted = _samples(settings, last)
    return wanted if last and settings.then == "spos" else with_cheaper(wanted)


def _largest(names: Sequence[Names]) -> int:
    return max(map(len, names))


def _pairs(space: SearchSpace) -> frozenset[Pair]:
    return frozenset((b, name) for b, names in enumerate(space.candidates) for name in names)


def _rule(settings: SearchConfig, last: bool) -> RuleName:
    if last and settings.then == "one-shot":
        return "path-dropout"
    return "nse" if settings.shrink_by == "fitness" and not last else "uniform"


def _dropped(problem: Problem, settings: SearchConfig, trained: TrainedRound, round: int, size: int) -> dict[Pair, str]:
    """The worst operations of each block down to `size`, and why; none without which the budget is out of reach."""
    by_angle = settings.shrink_by == "angle"
    rng = numpy_generator(settings.seed, "angles", round)
    worth = operation_angles(trained, rng) if by_angle else dict(trained.fitness)
    what = "angle" if by_angle else "fitness"
    space, dropped = trained.space, dict[Pair, str]()
    for b, name in sorted(worth, key=lambda pair: (worth[pair], pair)):
        smaller = space.without([(b, name)])
        possible = len(space.candidates[b]) > size
        if possible and within_reach(smaller, problem.table, problem.budget, problem.upper):
            space = smaller
            dropped[b, name] = f"its {what} {worth[b, name]:.3f} is among the smallest"
    return dropped


def operation_angles(trained: TrainedRound, rng: np.random.Generator) -> dict[Pair, float]:
    """Mean angle (radians) of `DRAWS` architectures that hold an operation, for each of them (ABS, equation 4).

    The angle of an architecture is that between its weights before training and now, as one long vector. The other
    blocks are drawn by the initial gates, the same ones for every operation; so are the others of its own block, where
    that may hold several.
    """
    turned, space = trained.turned(), trained.space
    gates = initial_probabilities(space)
    drawn = [draw(space, gates, rng) for _ in range(DRAWS)]
    parts = [np.array([turned[b, name] for name in names]) for b, names in enumerate(space.candidates)]
    masks = [np.array([[n in a.blocks[b] for n in names] for a in drawn]) for b, names in enumerate(space.candidates)]
    sums = [mask @ part if len(part) else np.zeros((DRAWS, 3)) for mask, part in zip(masks, parts, strict=True)]
    whole = np.array(turned[SHARED]) + sum(sums)
    angles = {}
    for b, names in enumerate(space.candidates):
        others = whole - sums[b]
        for i, name in enumerate(names):
            beside = (sums[b] - masks[b][:, [i]] * parts[b][i]) if space.branches == "multi" else 0.0
            angles[b, name] = float(_angles(others + beside + parts[b][i]).mean())
    return angles


def _angles(sums: np.ndarray) -> np.ndarray:
    """Of <w0, w>, |w0|^2 and |w|^2 ``[n, 3]``; 0 where there are no weights."""
    dot, before, now = sums.T
    lengths = np.sqrt(np.maximum(before * now, 0.0))
    cosines = np.divide(dot, lengths, out=np.ones_like(dot), where=lengths > 0)
    angles: np.ndarray = np.arccos(np.clip(cosines, -1.0, 1.0))
    return angles


STRATEGIES.add(
    "shrinking",
    Strategy(
        search=shrinking,
        rule=lambda settings: "nse" if settings.shrink_by == "fitness" else "uniform",
        branches=("single", "multi"),
        honours=UNIFORM | {"candidates", "shrink_by", "then", "fitness_pairs"},
        scores=_scores,
        rounds=lambda operations, settings: len(stages(operations, settings)),
        sizes=lambda state, settings: stages(_largest(state.inherited if state.round else state.waiting), settings),
    ),
)
