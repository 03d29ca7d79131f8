"""How evolutionary searches change architectures: mutation and crossover, inside the budget. No torch here."""

import numpy as np

from evospace.sampling.gates import log_odds
from evospace.sampling.limits import keeps
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem

Names = tuple[str, ...]


def mutated(architecture: Architecture, space: SearchSpace, rate: float, rng: np.random.Generator) -> Architecture:
    """Change each block with probability `rate`, and one block, drawn uniformly, in any case.

    A single-branch block takes another of its choices (none is one, where it may be empty), a multi-branch one gains,
    loses or exchanges one operation; which, by the initial gates: each alike where they are uniform, as in the papers;
    by sparse ones two of three blocks of one operation that change are emptied, however many candidates they have. A
    block without another choice stays as it is.
    """
    changed = rng.random(len(architecture.blocks)) < rate
    changed[rng.integers(len(changed))] = True
    change = _other_choice if space.branches == "single" else _other_subset
    rows = zip(architecture.blocks, space.candidates, space.required, log_odds(space), changed, strict=True)
    return Architecture.of(
        change(chosen, names, needed, odds, rng) if now else chosen for chosen, names, needed, odds, now in rows
    )


def _other_choice(chosen: Names, names: Names, needed: bool, odds: float, rng: np.random.Generator) -> Names:
    """`odds`: log of those of each candidate against none."""
    options: list[Names] = [(name,) for name in names] + ([] if needed else [()])
    others = [option for option in options if option != chosen]
    return _by_gates(others, odds, rng) if others else chosen


def _other_subset(chosen: Names, names: Names, needed: bool, odds: float, rng: np.random.Generator) -> Names:
    """One operation in or out, or one for another."""
    out = [name for name in names if name not in chosen]
    gained = [(*chosen, name) for name in out]
    lost = [tuple(n for n in chosen if n != name) for name in chosen] if len(chosen) > needed else []
    exchanged = [(*(n for n in chosen if n != old), new) for old in chosen for new in out]
    others = [*gained, *lost, *exchanged]
    return _by_gates(others, odds, rng) if others else chosen


def _by_gates(options: list[Names], odds: float, rng: np.random.Generator) -> Names:
    """One of them, each in proportion to how likely the gates draw it."""
    if odds == 0.0:
        return options[rng.integers(len(options))]
    sizes = np.array([len(option) for option in options])
    shares = np.exp(odds * (sizes - sizes.min()))
    return options[rng.choice(len(options), p=shares / shares.sum())]


def crossed(first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
    """Each block from one of the two, with probability 1/2."""
    takes = rng.random(len(first.blocks)) < 0.5
    pairs = zip(first.blocks, second.blocks, takes, strict=True)
    return Architecture(tuple(a if take else b for a, b, take in pairs))


def fits(architecture: Architecture, problem: Problem) -> bool:
    """Whether it lies inside the budget and its further limits."""
    return problem.table.cost(architecture) in problem.budget and keeps(architecture, problem.upper)
