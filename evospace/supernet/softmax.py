"""One-of-K blocks as a differentiable function of alpha: logits, softmax and expected cost, the skip's share included.

`Fitness.probabilities` is the same distribution in numpy, to draw from. Single-branch spaces only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from evospace.cost.table import CostTable
from evospace.space.search_space import SearchSpace
from evospace.supernet.fitness import Fitness


def block_options(space: SearchSpace) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Per block what it chooses one of: each candidate alone, and last, where it need not choose, nothing: the skip."""
    assert space.branches == "single", "a softmax over the candidates needs a single-branch space"
    return tuple(
        tuple((name,) for name in names) + (() if needed else ((),))
        for names, needed in zip(space.candidates, space.required, strict=True)
    )


def block_logits(fitness: Fitness, space: SearchSpace) -> tuple[Tensor, ...]:
    """Per block the logits ``[options]``: alpha of each candidate and of a skip. Differentiable in alpha."""
    return tuple(fitness.alpha[block_indices(fitness, space, b)] for b in range(len(space.candidates)))


def block_indices(fitness: Fitness, space: SearchSpace, block: int) -> list[int]:
    """Where in alpha the logits ``[options]`` of a block lie."""
    skip = [] if space.required[block] else [fitness.skip[block]]
    return [fitness.index[block, name] for name in space.candidates[block]] + skip


def block_shares(fitness: Fitness, space: SearchSpace) -> tuple[Tensor, ...]:
    """Per block the probabilities ``[options]``, which sum to 1. Differentiable in alpha."""
    return tuple(logits.softmax(0) for logits in block_logits(fitness, space))


def softmax_cost(shares: Sequence[Tensor], space: SearchSpace, table: CostTable) -> Tensor:
    """E = fixed part + sum over blocks and options of p_i cost_i, a scalar in the table's unit; a skip costs nothing.

    `shares`: per block ``[options]``.
    """
    costs = [
        sum(table.ops[b][name] for name in option) for b, block in enumerate(block_options(space)) for option in block
    ]
    p = torch.cat(list(shares))
    return table.fixed + (p * torch.tensor(costs, dtype=p.dtype, device=p.device)).sum()
