"""DARTS: every candidate of a block is evaluated, and the block's output is their mean under a softmax of alpha.

Source: Liu et al., DARTS: Differentiable architecture search, ICLR 2019: equation 2 (the mixture, here over a block's
candidates and its skip), algorithm 1 (steps of alpha and of the weights in turn; here the weights' comes first),
equations 5 to 8 (second order). The cost penalty is the one of every method here; the paper has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.data.splits import Batch
from evospace.space.search_space import SearchSpace
from evospace.supernet.choice_block import Route, Term
from evospace.supernet.fitness import log_cost_penalty
from evospace.supernet.softmax import block_options, block_shares, softmax_cost
from evospace.supernet.supernet import SuperNet
from evospace.training.rules.rule import WARM_UP, Rule
from evospace.training.snapshot import TrainState

RADIUS = 0.01
"""How far the weights move to either side for equation 8: the paper sets epsilon = 0.01 / norm of v, so |epsilon v|."""

Weights = Mapping[str, Tensor]
"""The supernet's parameters by name, or others to put in their place."""


@dataclass(frozen=True, kw_only=True)
class DartsRule(Rule):
    """Weight steps train the whole mixture; a fitness step after each, once `WARM_UP` is over. For one branch only."""

    table: CostTable
    budget: Budget
    order: Literal[1, 2] = 1
    """1: the gradient with the weights as they are; 2: with the weights one training step ahead."""

    every, waits, skips = 1, WARM_UP, True

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """The mixture at the present alpha, without gradient to it."""
        with torch.no_grad():
            return mixture(state.space, block_shares(state.fitness, state.space))

    def fitness_step(
        self, state: TrainState, held_out: Batch, train: Batch, rng: np.random.Generator, lr: float
    ) -> None:
        """One update of alpha, left out where the loss or its gradient is not finite. No weight is touched."""
        state.supernet.train()
        loss, gradient = (
            first_order(state, held_out)
            if self.order == 1
            else second_order(state, held_out, train, lr, seed=int(rng.integers(2**63)))
        )
        alpha = state.fitness.alpha
        penalty = log_cost_penalty(
            softmax_cost(block_shares(state.fitness, state.space), state.space, self.table), self.budget.target
        )
        gradient = gradient + torch.autograd.grad(penalty, alpha)[0]
        if (loss + penalty).isfinite() and gradient.isfinite().all():
            alpha.grad = gradient
            state.fitness_optimiser.step()


def mixture(space: SearchSpace, shares: Sequence[Tensor]) -> Route:
    """Every option of every block, weighted by its share; `shares`: per block ``[options]``."""
    return tuple(
        tuple(Term(ops=option, weight=p) for option, p in zip(options, block.unbind(), strict=True))
        for options, block in zip(block_options(space), shares, strict=True)
    )


def first_order(state: TrainState, held_out: Batch) -> tuple[Tensor, Tensor]:
    """The held-out loss L(w, alpha), a scalar, and its gradient ``[alphas]`` with w as it is."""
    loss = _mixture_loss(state, _detached(state.supernet), held_out)
    return loss.detach(), torch.autograd.grad(loss, state.fitness.alpha)[0]


def second_order(state: TrainState, held_out: Batch, train: Batch, lr: float, seed: int) -> tuple[Tensor, Tensor]:
    """The held-out loss L(w', alpha) at w' = w - lr grad_w L_train(w, alpha), and its gradient ``[alphas]``.

    Equation 7: grad_alpha L(w', alpha) - lr v H, with v = grad_w' L(w', alpha) and H the mixed second derivative of
    L_train at w; equation 8: v H from the gradients at w +- epsilon v. `seed` has operations that draw for themselves
    draw alike in all three passes over `train`, which are of one function then.
    """
    alpha, weights = state.fitness.alpha, _detached(state.supernet)

    def train_loss(at: Weights) -> Tensor:
        torch.manual_seed(seed)
        return _mixture_loss(state, at, train)

    now = _leaves(weights)
    ahead = _leaves(_moved(weights, _gradients(train_loss(now), now.values()), -lr))
    loss = _mixture_loss(state, ahead, held_out)
    direct, *v = _gradients(loss, [alpha, *ahead.values()])
    norm = torch.stack([part.norm() for part in v]).norm()
    unit = [part / norm.clamp(min=torch.finfo(norm.dtype).tiny) for part in v]
    up, down = (_gradients(train_loss(_moved(weights, unit, to)), [alpha])[0] for to in (RADIUS, -RADIUS))
    return loss.detach(), direct - lr * norm * (up - down) / (2 * RADIUS)


def _mixture_loss(state: TrainState, weights: Weights, batch: Batch) -> Tensor:
    """Cross-entropy of the mixture with `weights` in the place of the supernet's own."""
    images, labels = batch
    route = mixture(state.space, block_shares(state.fitness, state.space))
    return functional.cross_entropy(functional_call(state.supernet, dict(weights), (images, route)), labels)


def _gradients(loss: Tensor, of: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Zeros for what the loss does not depend on (an operation may have such a parameter)."""
    return torch.autograd.grad(loss, list(of), materialize_grads=True)


def _detached(supernet: SuperNet) -> Weights:
    return {name: parameter.detach() for name, parameter in supernet.named_parameters()}


def _leaves(weights: Weights) -> Weights:
    """Weights that gradients can be taken of."""
    return {name: weight.detach().requires_grad_() for name, weight in weights.items()}


def _moved(weights: Weights, by: Iterable[Tensor], times: float) -> Weights:
    """Copies: each weight plus `times` its part of `by`."""
    return {name: weight + times * part for (name, weight), part in zip(weights.items(), by, strict=True)}
