"""Fitness: a learned logit per (block, operation), and the two-subset gradient that trains it.

Source: Ci et al., Evolving Search Space for NAS, ICCV 2021, multi-branch scheme; the two-path gradient is
ProxylessNAS' (Cai et al., 2019) lifted from operations to subsets. Equations in docs/method.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from evospace.cost.budget import PENALTY
from evospace.cost.table import CostTable
from evospace.sampling.gates import draw_excluding, log_odds
from evospace.space.search_space import SearchSpace
from evospace.supernet.choice_block import Route, Term

SCALE, FLOOR = 0.999, 5e-4
"""p = 0.999 sigmoid(alpha) + 5e-4 keeps every operation drawable and every logit finite."""

Pair = tuple[tuple[str, ...], ...]
"""Two different subsets of a block's operations (the first is drawn first), or one where there is no choice."""


def probability(alpha: Tensor) -> Tensor:
    """Inclusion probability of each operation, elementwise."""
    return SCALE * torch.sigmoid(alpha) + FLOOR


class Fitness(nn.Module):
    """alpha of every (block, operation) that starts a round; operations pruned later keep their last value.

    It begins with the log odds of the space's gates: 0 where they are uniform.
    """

    initial: Tensor

    def __init__(self, space: SearchSpace, *, skips: bool = False) -> None:
        """`skips`: in a single-branch space a block's skip has an alpha of its own, which is 0 otherwise."""
        super().__init__()
        pairs = [(b, name) for b, names in enumerate(space.candidates) for name in names]
        self.index = {pair: i for i, pair in enumerate(pairs)}
        optional = [b for b, needed in enumerate(space.required) if skips and not needed]
        self.skip = {b: len(pairs) + i for i, b in enumerate(optional)}
        starts = [start for start, names in zip(log_odds(space), space.candidates, strict=True) for _ in names]
        starts += [0.0] * len(optional)
        self.register_buffer("initial", torch.tensor(starts, dtype=torch.get_default_dtype()), persistent=False)
        self.alpha = nn.Parameter(self.initial.clone())

    def values(self, space: SearchSpace) -> list[np.ndarray]:
        """Per block the alphas ``[K]`` of the candidates in `space`, in their order, less that of the skip."""
        alpha = self.alpha.detach().cpu().double().numpy()
        return [
            alpha[[self.index[b, name] for name in names]] - (alpha[self.skip[b]] if b in self.skip else 0.0)
            for b, names in enumerate(space.candidates)
        ]

    def learned(self) -> dict[tuple[int, str], float]:
        """Fitness of each (block, operation): how far alpha has moved from where it began, less how far the skip's."""
        moved = (self.alpha.detach() - self.initial).cpu().tolist()
        return {
            (b, name): moved[i] - (moved[self.skip[b]] if b in self.skip else 0.0)
            for (b, name), i in self.index.items()
        }

    def probabilities(self, space: SearchSpace) -> list[np.ndarray]:
        """Per block the probabilities ``[K]``: Bernoulli in a multi-branch space, else one-of-K beside a skip."""
        return [
            _bernoulli(a) if space.branches == "multi" else _softmax(a, skip=not needed)
            for a, needed in zip(self.values(space), space.required, strict=True)
        ]


def _bernoulli(alpha: np.ndarray) -> np.ndarray:
    result: np.ndarray = SCALE / (1.0 + np.exp(-alpha)) + FLOOR
    return result


def _softmax(alpha: np.ndarray, *, skip: bool) -> np.ndarray:
    logits = np.append(alpha, 0.0) if skip else alpha
    weights = np.exp(logits - logits.max(initial=0.0))
    result: np.ndarray = (weights / weights.sum())[: len(alpha)]
    return result


def draw_pairs(space: SearchSpace, fitness: Fitness, rng: np.random.Generator) -> tuple[Pair, ...]:
    """Per block two different subsets from the block's distribution, exactly (no rejection)."""
    multi = space.branches == "multi"
    draw = _draw_subsets if multi else _draw_singles
    values = fitness.probabilities(space) if multi else fitness.values(space)
    return tuple(
        draw(names, v, needed, rng) for names, v, needed in zip(space.candidates, values, space.required, strict=True)
    )


def _draw_subsets(names: tuple[str, ...], p: np.ndarray, needed: bool, rng: np.random.Generator) -> Pair:
    if len(names) == needed:
        return (names,)
    excluded = [np.zeros(len(names), dtype=bool)] if needed else []
    first = draw_excluding(p, excluded, rng)
    second = draw_excluding(p, [*excluded, first], rng)
    return tuple(tuple(n for n, kept in zip(names, bits, strict=True) if kept) for bits in (first, second))


def _draw_singles(names: tuple[str, ...], alpha: np.ndarray, needed: bool, rng: np.random.Generator) -> Pair:
    """Two options without replacement, by the Gumbel-top-2 trick: logits may be as far apart as they like."""
    options: list[tuple[str, ...]] = [(name,) for name in names] + ([] if needed else [()])
    if len(options) == 1:
        return (options[0],)
    logits = alpha if needed else np.append(alpha, 0.0)
    first, second = np.argsort(-(logits + rng.gumbel(size=len(options))))[:2]
    return options[first], options[second]


def first_weights(fitness: Fitness, space: SearchSpace, pairs: Sequence[Pair]) -> Tensor:
    """u ``[blocks]``: per block q(S) / (q(S) + q(S')), and 1 where there is no pair.

    Gates on which S and S' agree cancel: u = sigmoid(sum of logit p over S - S', less that over S' - S).
    In a single-branch space the logits are the alphas themselves; a skip's is 0 where it has none.
    """
    signs = torch.zeros(len(pairs), len(fitness.alpha), dtype=fitness.alpha.dtype)
    for b, pair in enumerate(pairs):
        for sign, chosen, other in ((1.0, pair[0], pair[-1]), (-1.0, pair[-1], pair[0])):
            for name in set(chosen) - set(other):
                signs[b, fitness.index[b, name]] = sign
            if other and not chosen and b in fitness.skip:
                signs[b, fitness.skip[b]] = sign
    alpha = fitness.alpha
    logits = torch.logit(probability(alpha)) if space.branches == "multi" else alpha
    paired = torch.tensor([len(pair) == 2 for pair in pairs], device=alpha.device)
    u = torch.sigmoid(signs.to(alpha.device) @ logits)
    return torch.where(paired, u, torch.ones_like(u))


def pair_route(pairs: Sequence[Pair], u: Tensor) -> Route:
    """Forward value: S's output. Gradient of the gates: that of the mixture u S + (1 - u) S'.

    Weights are u + 1 - sg(u) for S and u' - sg(u') for S', which runs without gradient.
    """
    first, second = u + 1.0 - u.detach(), u.detach() - u
    return tuple(
        (Term(ops=pair[0]),)
        if len(pair) == 1
        else (Term(ops=pair[0], weight=first[b]), Term(ops=pair[1], weight=second[b], grad=False))
        for b, pair in enumerate(pairs)
    )


def expected_cost(pairs: Sequence[Pair], u: Tensor, table: CostTable) -> Tensor:
    """E = fixed part + sum over blocks of u cost(S) + (1 - u) cost(S'), a scalar in the table's unit."""
    costs = [
        [sum(table.ops[b][name] for name in chosen) for chosen in (pair[0], pair[-1])] for b, pair in enumerate(pairs)
    ]
    both = torch.tensor(costs, dtype=u.dtype, device=u.device)
    return table.fixed + (u * both[:, 0] + (1.0 - u) * both[:, 1]).sum()


def cost_penalty(expected: Tensor, target: float) -> Tensor:
    """``0.9 (E / target - 1)^2``: the authors' penalty, free of units."""
    return PENALTY * (expected / target - 1.0) ** 2


def log_cost_penalty(expected: Tensor, target: float) -> Tensor:
    """``0.9 ln(E / target)^2``: `cost_penalty` to second order near the target, and gentle far from it.

    For methods whose E is over paths of any cost (DARTS, ProxylessNAS): in a large space E begins at tens of times the
    target, where the square alone drowns the cross-entropy and fills Adam's second moment for the rest of the search.
    """
    return PENALTY * torch.log(expected / target) ** 2


@dataclass(frozen=True, kw_only=True)
class PruneRule:
    """Which operations to drop, given their fitness."""

    threshold: float = -2.0
    """An operation whose alpha lies below its beginning by more than this is weak (with uniform gates: p < 0.12)."""
    locked: frozenset[tuple[int, str]] = frozenset()
    """(block, operation) pairs inherited from the previous front: never dropped."""

    def weak(self, space: SearchSpace, fitness: Mapping[tuple[int, str], float]) -> list[tuple[int, str]]:
        """The pairs to drop, weakest first.

        A required block whose operations are all weak keeps its two fittest; ties keep the earlier one.
        """
        dropped = []
        for b, (names, needed) in enumerate(zip(space.candidates, space.required, strict=True)):
            ranked = sorted(((fitness[b, name], (b, name)) for name in names), key=lambda item: -item[0])
            keep = 2 if needed and names and ranked[0][0] < self.threshold else 0
            dropped += [
                (value, pair) for value, pair in ranked[keep:] if value < self.threshold and pair not in self.locked
            ]
        return [pair for _, pair in sorted(dropped)]
