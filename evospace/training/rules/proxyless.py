"""ProxylessNAS: weights train one sampled path at a time, alpha by gates between two.

Source: Cai et al., ProxylessNAS: Direct neural architecture search on target task and hardware, ICLR 2019: section 3.2
(paths drawn from a softmax of alpha; gradient of the gates, equation 4; two paths at a time, the rest masked as if it
were not there, and afterwards put back at its probability) and section 3.3 (expected cost).

The cost: its value is the expectation over all candidates, as the paper writes it. Its gradient flows into the two
sampled paths alone and is weighted as that of the cross-entropy is, by their shares among the two: otherwise the cost
would move every alpha of a block in each step, or count for less beside the cross-entropy the more candidates there
are. (The authors' code takes the value, too, over the two alone.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.data.splits import Batch
from evospace.sampling.gates import draw
from evospace.space.search_space import SearchSpace
from evospace.supernet.choice_block import Route, route_of
from evospace.supernet.fitness import Fitness, Pair, draw_pairs, expected_cost, first_weights, log_cost_penalty
from evospace.supernet.softmax import block_indices, block_logits, block_options, block_shares, softmax_cost
from evospace.training.rules.nse import pair_gradient
from evospace.training.rules.rule import WARM_UP, Rule
from evospace.training.snapshot import TrainState


@dataclass(frozen=True, kw_only=True)
class ProxylessRule(Rule):
    """One path per weight step, two per block in a fitness step. Single-branch spaces only."""

    table: CostTable
    budget: Budget

    every, waits, skips = 2, WARM_UP, True

    def route(self, state: TrainState, rng: np.random.Generator, step: int) -> Route:
        """One architecture, drawn from the present softmax."""
        return route_of(draw(state.space, state.fitness.probabilities(state.space), rng))

    def fitness_step(
        self, state: TrainState, held_out: Batch, train: Batch, rng: np.random.Generator, lr: float
    ) -> None:
        """One update of the two sampled alphas of each block, left out where loss or gradient is not finite."""
        pairs = draw_paths(state.space, state.fitness, rng)
        with torch.no_grad():
            before = block_logits(state.fitness, state.space)
            whole = softmax_cost(block_shares(state.fitness, state.space), state.space, self.table)

        def penalty(u: Tensor) -> Tensor:
            two = expected_cost(pairs, u, self.table)
            return log_cost_penalty(whole + (two - two.detach()), self.budget.target)

        pair_gradient(state, held_out, pairs, penalty)
        if state.fitness.alpha.grad is not None:
            state.fitness_optimiser.step()
            rescale(state.fitness, state.space, pairs, before)


def draw_paths(space: SearchSpace, fitness: Fitness, rng: np.random.Generator) -> tuple[Pair, ...]:
    """Per block two options without replacement; the first, whose gate is open, by their shares among the two."""
    pairs = draw_pairs(space, fitness, rng)
    shares = first_weights(fitness, space, pairs).tolist()
    return tuple(
        pair if chance < share else pair[::-1]
        for pair, share, chance in zip(pairs, shares, rng.random(len(pairs)).tolist(), strict=True)
    )


def rescale(fitness: Fitness, space: SearchSpace, pairs: Sequence[Pair], before: Sequence[Tensor]) -> None:
    """Give the options outside each block's pair back the probabilities of before the step, in place.

    `before`: per block the logits ``[options]``. The step has moved no alpha but the pairs' (its Adam has no first
    moment).
    """
    with torch.no_grad():
        for b, (options, old, new) in enumerate(
            zip(block_options(space), before, block_logits(fitness, space), strict=True)
        ):
            if len(pairs[b]) == 2:
                logits = _rescaled(old, new, [options.index(option) for option in pairs[b]])
                fitness.alpha[block_indices(fitness, space, b)] = logits


def _rescaled(old: Tensor, new: Tensor, two: list[int]) -> Tensor:
    """`new` logits ``[options]`` with options `two` shifted so that together they weigh what they did in `old`."""
    shift = torch.zeros_like(new)
    shift[two] = old[two].logsumexp(0) - new[two].logsumexp(0)
    return new + shift
