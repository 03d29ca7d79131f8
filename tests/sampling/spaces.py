"""Small random spaces, and the brute force that the sampling tests compare with."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace

Outcome = TypeVar("Outcome")
Case = tuple[SearchSpace, CostTable, list[np.ndarray]]


def make_case(costs: Sequence[Sequence[int]], required: Sequence[bool], branches: Branches, seed: int) -> Case:
    """A space with operations b, a, d, c, ... of the given costs, and random gates."""
    names = [tuple(f"op{i ^ 1}" for i in range(len(block))) for block in costs]
    space = SearchSpace(tuple(names), tuple(required), branches)
    ops = tuple(dict(zip(n, c, strict=True)) for n, c in zip(names, costs, strict=True))
    rng = np.random.default_rng(seed)
    gates = [rng.uniform(0.05, 0.95, len(block)) for block in costs]
    if branches == "single":
        gates = [p / (p.sum() + (0 if r else 0.4)) for p, r in zip(gates, required, strict=True)]
    return space, CostTable(metric="macs", fixed=7, ops=ops), gates


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to three blocks of up to three operations."""
    unit = draw(st.sampled_from([1, 6]))
    block = st.lists(st.integers(0, 8).map(lambda c: c * unit), max_size=3)
    costs = draw(st.lists(block, min_size=1, max_size=3))
    required = [bool(c) and draw(st.booleans()) for c in costs]
    return make_case(costs, required, draw(st.sampled_from(["multi", "single"])), draw(st.integers(0, 99)))


@st.composite
def windows(draw: st.DrawFn) -> Budget:
    """Windows inside, across and outside the costs of `cases`."""
    low = draw(st.integers(0, 120))
    return Budget(metric="macs", low=low, high=low + draw(st.integers(0, 30)))


def enumerate_space(space: SearchSpace, gates: Sequence[np.ndarray]) -> dict[Architecture, float]:
    """Every architecture with its probability."""
    blocks = [_subsets(*block, space.branches) for block in zip(space.candidates, gates, space.required, strict=True)]
    return {
        Architecture.of(names for names, _ in choice): math.prod(p for _, p in choice)
        for choice in itertools.product(*blocks)
    }


def _subsets(
    names: tuple[str, ...], p: np.ndarray, required: bool, branches: Branches
) -> list[tuple[tuple[str, ...], float]]:
    if branches == "single":
        one: list[tuple[tuple[str, ...], float]] = [((name,), float(q)) for name, q in zip(names, p, strict=True)]
        return one if required else [*one, ((), 1.0 - float(p.sum()))]
    found = []
    for bits in itertools.product([False, True], repeat=len(names)):
        weight = math.prod(q if bit else 1 - q for q, bit in zip(p.tolist(), bits, strict=True))
        found.append((tuple(itertools.compress(names, bits)), weight))
    found = found[1:] if required else found
    total = sum(weight for _, weight in found)
    return [(chosen, weight / total) for chosen, weight in found]


def chi_square_fits(counts: Mapping[Outcome, int], weights: Mapping[Outcome, float]) -> bool:
    """Whether counts fit weights: chi-square under its mean + 5 standard deviations, rare outcomes pooled."""
    n, total = sum(counts.values()), sum(weights.values())
    pooled: dict[Outcome | None, list[float]] = {}
    for outcome, weight in weights.items():
        expected = n * weight / total
        cell = pooled.setdefault(outcome if expected >= 10 else None, [0.0, 0.0])
        cell[0] += counts.get(outcome, 0)
        cell[1] += expected
    statistic = sum((count - expected) ** 2 / expected for count, expected in pooled.values())
    free = len(pooled) - 1
    return set(counts) <= set(weights) and free > 3 and statistic < free + 5 * math.sqrt(2 * free)
