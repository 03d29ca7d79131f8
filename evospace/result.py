"""What a search returns to Python."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from evospace.runs.checkpoints import load_checkpoint
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
    params: int
    round: int
    skeleton: Skeleton
    classes: int
    weights: Path

    def build(self, *, supernet_weights: bool = False) -> nn.Module:
        """A plain `nn.Module`, freshly initialised, or with the weights it had in the supernet."""
        network = Network(self.skeleton, self.architecture, self.classes)
        if supernet_weights:
            network.load_state_dict(load_checkpoint(self.weights)[0])
        return network


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search returns."""

    run: Path
    front: tuple[FrontMember, ...]
    """Cheapest first, accuracy strictly rising."""
