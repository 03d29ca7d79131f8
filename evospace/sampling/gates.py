"""Architectures drawn from gates: inclusion probabilities per block, in the order of the candidates.

No torch here.
"""

import math
from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


SPARSE = 0.5
"""Operations that sparse gates give a block of a multi-branch space, about, before anything is known of a budget.

There are far more architectures of many thin operations than of few wide ones at the same cost, so that uniform gates
inside a budget draw hardly anything else. Chosen on held-out images (docs/results/study-history.md)."""


def log_odds(space: SearchSpace) -> list[float]:
    """Per block the log of each candidate's odds against being left out (of one-of-K: against the skip) at the start.

    0 for uniform gates; for sparse ones the odds of a block's K candidates sum to `SPARSE`.
    """
    if space.gates == "uniform":
        return [0.0] * len(space.candidates)
    return [math.log(SPARSE / max(len(names), 1)) for names in space.candidates]


def initial_probabilities(space: SearchSpace) -> list[Floats]:
    """Per block ``[K]``, equal for all candidates of a block: what gates begin with.

    Uniform gates make all architectures alike: 1/2 in a multi-branch space, in a single-branch one equal parts, the
    skip's too.
    """
    result = []
    for names, needed, start in zip(space.candidates, space.required, log_odds(space), strict=True):
        odds = math.exp(start)
        rest = 1.0 if space.branches == "multi" else (len(names) - 1) * odds + (not needed)
        result.append(np.full(len(names), odds / (odds + rest)))
    return result


def to_architectures(space: SearchSpace, chosen: Sequence[Bools]) -> list[Architecture]:
    """The ``n`` architectures of per-block masks ``[n, K]`` over the candidates."""
    columns = []
    for names, mask in zip(space.candidates, chosen, strict=True):
        order = sorted(range(len(names)), key=names.__getitem__)
        ranked = [names[i] for i in order]
        columns.append([tuple(compress(ranked, row)) for row in mask[:, order].tolist()])
    return [Architecture(blocks) for blocks in zip(*columns, strict=True)]


def draw(space: SearchSpace, probabilities: Sequence[np.ndarray], rng: np.random.Generator) -> Architecture:
    """One architecture from the product of the blocks' distributions, without a budget.

    `probabilities`: per block ``[K]``; Bernoulli in a multi-branch space (a required block conditioned on not
    being empty), one-of-K in a single-branch one, where an optional block's remainder is the skip.
    """
    masks = []
    for p, needed in zip(probabilities, space.required, strict=True):
        if space.branches == "single":
            mask = _one_of(p, needed, rng)
        else:
            mask = draw_excluding(p, [np.zeros(len(p), dtype=bool)] if needed else [], rng)
        masks.append(mask[None])
    return to_architectures(space, masks)[0]


def _one_of(q: np.ndarray, required: bool, rng: np.random.Generator) -> Bools:
    skip = 0.0 if required else max(0.0, 1.0 - float(q.sum()))
    weights = np.append(q, skip)
    mask = np.zeros(len(weights), dtype=bool)
    mask[rng.choice(len(weights), p=weights / weights.sum())] = True
    return mask[:-1]


def draw_excluding(p: np.ndarray, excluded: Sequence[np.ndarray], rng: np.random.Generator) -> Bools:
    """A draw ``[K]`` from the product of Bernoulli(`p`) given that it is not among `excluded` (each ``[K]``).

    Bits are drawn in turn, P(bit | prefix) proportional to p(bit) times the mass that is still allowed after
    it: one, less the excluded points that share the prefix. That mass is summed from the longest prefixes
    back rather than subtracted, so it keeps its digits where `p` is nearly 0 or 1. Raises `ValueError` where
    nothing with a positive probability is left.
    """
    allowed = _allowed_mass(p.tolist(), [tuple(point.tolist()) for point in excluded])
    if allowed.get((), 1.0) <= 0.0:
        raise ValueError("every point that the gates can draw is excluded")
    prefix: tuple[bool, ...] = ()
    for chance, uniform in zip(p.tolist(), rng.random(len(p)).tolist(), strict=True):
        on = chance * allowed.get((*prefix, True), 1.0)
        off = (1.0 - chance) * allowed.get((*prefix, False), 1.0)
        prefix = (*prefix, uniform * (on + off) < on)
    return np.array(prefix, dtype=bool)


def _allowed_mass(p: list[float], excluded: list[tuple[bool, ...]]) -> dict[tuple[bool, ...], float]:
    """Per prefix of an excluded point, the chance to end at none of them (1 for any other prefix)."""
    assert all(len(point) == len(p) for point in excluded)
    allowed = dict.fromkeys(excluded, 0.0)
    for i in reversed(range(len(p))):
        for prefix in {point[:i] for point in excluded}:
            on, off = allowed.get((*prefix, True), 1.0), allowed.get((*prefix, False), 1.0)
            allowed[prefix] = p[i] * on + (1.0 - p[i]) * off
    return allowed
