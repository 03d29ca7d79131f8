"""What an epoch of a training has come to so far, for every kind of trainer."""

from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EpochSums:
    """Where a training stands, and the sums of the epoch under way."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Weight steps done in the epoch under way."""
    loss: float = 0.0
    """Sum of the losses of the images `seen`."""
    hits: int = 0
    seen: int = 0


S = TypeVar("S", bound=EpochSums)


def counted(sums: S, loss: float, logits: Tensor, labels: Tensor) -> S:
    """The sums after one step more: mean `loss`, `logits` B x classes and `labels` B of its batch."""
    return replace(
        sums,
        step=sums.step + 1,
        loss=sums.loss + loss * len(labels),
        hits=sums.hits + int((logits.argmax(1) == labels).sum()),
        seen=sums.seen + len(labels),
    )
