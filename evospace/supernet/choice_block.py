"""The one routing contract that serves every method.

A block's output is a weighted sum of *terms*. A term is the mean over the outputs of a subset of the
block's operations (and of the input itself, where the block keeps shape), with or without gradient.
SPOS: one term of one operation. One-Shot: one term of a random subset. NSE's fitness step: two subsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evospace.ops.build import build_op
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.architecture import Architecture
from evospace.supernet.network import mean_of


@dataclass(frozen=True, kw_only=True)
class Term:
    """One subset of a block's operations and how its mean enters the block's output."""

    ops: tuple[str, ...]
    """Empty is the identity, in blocks that keep shape."""
    weight: Tensor | None = None
    """A scalar factor; `None` is 1."""
    grad: bool = True
    """Whether gradient flows through the operations of this term (it always flows to `weight`)."""


Route = tuple[tuple[Term, ...], ...]
"""The terms of every block: an argument of the forward pass, never a state of the model."""


def route_of(architecture: Architecture) -> Route:
    """The route that computes exactly one architecture."""
    return tuple((Term(ops=names),) for names in architecture.blocks)


class ChoiceBlock(nn.Module):
    """Holds the active operations of one block, and no others."""

    def __init__(self, names: Sequence[str], shape: BlockShape) -> None:
        super().__init__()
        self.keeps_shape = shape.keeps_shape
        self.ops = nn.ModuleDict({name: build_op(OpSpec.parse(name), shape) for name in names})

    def forward(self, images: Tensor, terms: Sequence[Term]) -> Tensor:
        """``N x C_in x H x W -> N x C_out x H' x W'``. An operation used by several terms runs once."""
        outputs: dict[str, Tensor] = {}
        total: Tensor | None = None
        for term in sorted(terms, key=lambda term: not term.grad):
            part = self._term(term, images, outputs)
            part = part if term.weight is None else part * term.weight
            total = part if total is None else total + part
        assert total is not None, "a block needs at least one term"
        return total

    def _term(self, term: Term, images: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        with torch.set_grad_enabled(term.grad and torch.is_grad_enabled()):
            for name in term.ops:
                if name not in outputs:
                    outputs[name] = self.ops[name](images)
            parts = [outputs[name] for name in term.ops]
            return mean_of([*parts, images] if self.keeps_shape else parts)
