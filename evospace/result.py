"""What a search returns to Python."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from evospace.runs.checkpoints import load_checkpoint
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import Network


@dataclass(frozen=True, kw_only=True)
class FrontMember:
    """One network of the result."""

    architecture: Architecture
    accuracy: float
    """Fraction of the scoring images, under the last round's shared weights."""
    macs: int
    """Multiply-adds of one image."""
    params: int
    round: int
    """That first found it."""
    skeleton: Skeleton
    class_names: tuple[str, ...]
    """In the order of the network's outputs."""
    mean: tuple[float, ...]
    """Of each image channel, on the scale 0..1. Inputs of the supernet's weights are less it and divided by `std`."""
    std: tuple[float, ...]
    weights: Path
    """What it had in the last round's supernet."""
    latency_ms: float | None = None
    """As the latency table predicts it."""
    latency_measured_ms: float | None = None
    """End to end, under the table's setting."""

    def build(self, *, supernet_weights: bool = False) -> nn.Module:
        """A plain `nn.Module`, images ``[N, channels, S, S]`` to logits ``[N, classes]``.

        Freshly initialised and in training mode, or with the weights it had in the supernet and in eval mode. Raises
        `DataError` where those are not there any more, or damaged.
        """
        network = Network(self.skeleton, self.architecture, len(self.class_names))
        if not supernet_weights:
            return network
        network.load_state_dict(load_checkpoint(self.weights)[0])
        return network.eval()


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search returns."""

    run: Path
    front: tuple[FrontMember, ...]
    """Cheapest first, accuracy strictly rising."""


def members_of(run: RunDirectory, front: Front) -> tuple[FrontMember, ...]:
    """The networks of a run's front, with the weights they had in the last round's supernet."""
    last = run.database.states()[-1].round
    return tuple(
        FrontMember(
            architecture=e.architecture,
            accuracy=e.accuracy,
            macs=e.macs,
            params=e.params,
            round=e.round,
            skeleton=front.skeleton,
            class_names=front.class_names,
            mean=front.mean,
            std=front.std,
            weights=run.member(last, i),
            latency_ms=_milliseconds(e.latency),
            latency_measured_ms=_milliseconds(front.measured[i] if front.measured else None),
        )
        for i, e in enumerate(front.members)
    )


def _milliseconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 10**6
