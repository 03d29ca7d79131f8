"""Scores an architecture by training it by itself: dear, and free of what weights that are shared do to a ranking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from evospace.data.splits import Split
from evospace.devices import out_of_memory
from evospace.errors import CollapseError
from evospace.estimation.shared_weights import SCORING_BATCH
from evospace.seeding import derive
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import Network, drawn
from evospace.training.network_trainer import NetworkState, NetworkTrainer
from evospace.training.recipe import Recipe


class Kept(Protocol):
    """Where trained weights are kept, by name, until the round ends."""

    def get(self, name: str) -> dict[str, Tensor] | None:
        """`None` where there are none."""

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep them."""


@dataclass(frozen=True, kw_only=True)
class TrainedAlone:
    """Trains on the training images alone, and scores on the scoring split. An architecture's draws are its own."""

    skeleton: Skeleton
    classes: int
    recipe: Recipe
    train: Split
    scoring: Split
    seed: int
    device: str
    under_way: Callable[[Architecture], tuple[Mapping[str, Tensor], Mapping[str, Any]] | None]
    """What was stored of an architecture's training that was ended, if anything."""
    on_step: Callable[[Architecture, NetworkState], None]
    """Called after every step of its training; may store the state, and may raise to end the training."""
    kept: Kept

    def score(self, architecture: Architecture) -> float | str:
        """Fraction of the scoring images that it gets right once trained, or the reason why there is none."""
        try:
            network = Network(self.skeleton, architecture, self.classes)
            network.load_state_dict(self.weights(architecture))
            torch.manual_seed(derive(self.seed, f"score {architecture}"))  # whether it was trained just now or before
            return accuracy_of(network.to(self.device), self.scoring)
        except CollapseError:
            return "not finite"
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return "out of memory"

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """Its trained state; trained where it is not kept."""
        weights = self.kept.get(str(architecture))
        if weights is None:
            weights = self._train(architecture)
            self.kept.put(str(architecture), weights)
        return weights

    def _train(self, architecture: Architecture) -> dict[str, Tensor]:
        seed = derive(self.seed, f"alone {architecture}")

        def make() -> Network:
            generator = torch.Generator().manual_seed(derive(seed, "weights"))
            return drawn(partial(Network, self.skeleton, architecture, self.classes), generator).to(self.device)

        trainer = NetworkTrainer(
            recipe=self.recipe,
            make=make,
            train=self.train,
            classes=self.classes,
            seed=seed,
            device=self.device,
            on_step=partial(self.on_step, architecture),
        )
        state = trainer.start()
        if stored := self.under_way(architecture):
            state.restore(*stored)
        state = trainer.run(state)
        return {key: value.detach().cpu().clone() for key, value in state.network.state_dict().items()}


def accuracy_of(network: nn.Module, split: Split) -> float | str:
    """Fraction of the images of `split` that `network` gets right, in evaluation mode; `not finite` if a logit is."""
    network.eval()
    hits = 0
    with torch.no_grad():
        for images, labels in split.epoch(SCORING_BATCH):
            logits = network(images)
            if not bool(logits.isfinite().all()):
                return "not finite"
            hits += int((logits.argmax(1) == labels).sum())
    return hits / len(split)
