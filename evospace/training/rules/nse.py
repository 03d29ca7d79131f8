"""NSE: subsets of the active operations, fitness by two-subset gates, pruning (docs/method.md).

Source: Ci et al., Evolving Search Space for Neural Architecture Search, ICCV 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.data.splits import Batch
from evospace.sampling.gates import draw, initial_probabilities
from evospace.sampling.in_budget import InBudgetGates
from evospace.sampling.limits import Limits, within_reach
from evospace.space.architecture import Architecture
from evospace.supernet.choice_block import Route, route_of
from evospace.supernet.fitness import (
    Pair,
    PruneRule,
    cost_penalty,
    draw_pairs,
    expected_cost,
    first_weights,
    pair_route,
)
from evospace.training.optimisers import parameters_of
from evospace.training.rules.rule import Rule
from evospace.training.snapshot import TrainState, prune


@dataclass(frozen=True, kw_only=True)
class NseRule(Rule):
    """Weight steps by `train_gates`, a fitness step after every second one, as the authors have it."""

    table: CostTable
    budget: Budget
    limits: Limits = ()
    """Further upper limits, which pruning keeps in reach."""
    weak: PruneRule
    train_gates: Literal["in-budget", "uniform", "fitness"] = "in-budget"
    """What a weight step draws its architecture from: the initial gates given that the cost lies in
    `gates_window`, the initial gates whatever it costs, or the current fitness."""
    gates_window: tuple[float, float] = (0.5, 1.5)
    """Of the budget's target; the budget itself is always part of it."""
    fitness_pairs: Literal["in-budget", "unconditional"] = "in-budget"
    """Whether both subsets of a fitness step belong to architectures drawn by fitness given a cost in `gates_window`
    (no pair in blocks where the two agree), or are drawn by fitness whatever they cost."""

    every = 2

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """One architecture, drawn by `train_gates`."""
        return route_of(self._drawn(state, rng))

    def _drawn(self, state: TrainState, rng: np.random.Generator) -> Architecture:
        if self.train_gates == "in-budget":
            return self._in_budget.draw(state.space, rng)
        fitted = self.train_gates == "fitness"
        gates = state.fitness.probabilities(state.space) if fitted else initial_probabilities(state.space)
        return draw(state.space, gates, rng)

    @cached_property
    def _in_budget(self) -> InBudgetGates:
        return InBudgetGates(self.table, self.budget.around(*self.gates_window))

    def prune(self, state: TrainState, step: int) -> None:
        """Drop weak operations, weakest first, but none whose loss would put the budget or a limit out of reach."""
        for pair in self.weak.weak(state.space, state.fitness.learned()):
            if pair in state.needed:
                continue
            if not within_reach(state.space.without([pair]), self.table, self.budget, self.limits):
                state.needed.add(pair)
                continue
            prune(state, pair, step)

    def fitness_step(
        self, state: TrainState, held_out: Batch, train: Batch, rng: np.random.Generator, lr: float
    ) -> None:
        """One update of alpha by the two-subset gradient."""
        fitness_step(state, held_out, self.pairs(state, rng), self.table, self.budget)

    def pairs(self, state: TrainState, rng: np.random.Generator) -> tuple[Pair, ...]:
        """What a fitness step compares in each block, drawn by `fitness_pairs`."""
        if self.fitness_pairs == "unconditional":
            return draw_pairs(state.space, state.fitness, rng)
        two = self._in_budget.draw_two(state.space, state.fitness.probabilities(state.space), rng)
        subsets = zip(two[0].blocks, two[1].blocks, strict=True)
        return tuple((a,) if a == b else (a, b) for a, b in subsets)


def fitness_step(state: TrainState, batch: Batch, pairs: Sequence[Pair], table: CostTable, budget: Budget) -> float:
    """One update of alpha on held-out images; weights get no gradient. Returns the loss with its penalty.

    In a single-branch space this is ProxylessNAS' two-path gradient (Cai et al., 2019, equation 4).
    """
    loss = pair_gradient(state, batch, pairs, lambda u: cost_penalty(expected_cost(pairs, u, table), budget.target))
    if state.fitness.alpha.grad is not None:
        state.fitness_optimiser.step()
    return loss


def pair_gradient(state: TrainState, batch: Batch, pairs: Sequence[Pair], penalty: Callable[[Tensor], Tensor]) -> float:
    """Set alpha's gradient by one pair of subsets per block, or to `None` where the loss or it is not finite.

    `penalty` of the cost is a scalar, of u ``[blocks]``, the weight of each pair's first. Returns the loss with its
    penalty; weights get no gradient.
    """
    images, labels = batch
    state.supernet.train()
    weights = parameters_of(state.weight_optimiser)
    for weight in weights:
        weight.requires_grad_(False)
    try:
        u = first_weights(state.fitness, state.space, pairs)
        logits = state.supernet(images, pair_route(pairs, u))
        loss = functional.cross_entropy(logits, labels) + penalty(u)
        state.fitness_optimiser.zero_grad(set_to_none=True)
        if loss.isfinite():
            torch.autograd.backward(loss)
        gradient = state.fitness.alpha.grad
        if gradient is not None and not gradient.isfinite().all():
            state.fitness.alpha.grad = None
    finally:
        for weight in weights:
            weight.requires_grad_(True)
    return float(loss.detach())
