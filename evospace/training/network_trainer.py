"""Trains one network: the same code retrains a front, fine-tunes, and gives every method that is compared its test."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from evospace.data.policy import Policy, mixing
from evospace.data.splits import Split
from evospace.errors import CollapseError, DataError
from evospace.seeding import derive
from evospace.supernet.network import Network, drop_paths
from evospace.training.counting import EpochSums, counted
from evospace.training.depthwise import fast_depthwise
from evospace.training.optimisers import set_lr, started, warmup_cosine
from evospace.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Position(EpochSums):
    """Where a training stands; its losses are what was minimised, so with smoothing and mixed labels."""

    last_loss: float = 0.0
    """Mean of the last finished epoch."""
    last_accuracy: float = 0.0
    """Of the last finished epoch, on augmented and, where so, mixed images."""


@dataclass(kw_only=True)
class NetworkState:
    """All that changes while a network trains."""

    network: Network
    average: AveragedModel | None
    optimiser: torch.optim.Optimizer
    position: Position = field(default_factory=Position)

    def copy(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Named tensors (the state's own) and plain values, to store."""
        return self._tensors(), {"round": 0, "position": asdict(self.position)}

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Put stored tensors and values back; raises `DataError` where they are of another network or recipe."""
        own = self._tensors()
        if own.keys() != tensors.keys() or any(own[key].shape != tensors[key].shape for key in own):
            raise DataError("the training checkpoint is of another network or recipe; remove training-*.safetensors")
        self.position = Position(**meta["position"])
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(tensors[key])

    def _tensors(self) -> dict[str, Tensor]:
        names: dict[Any, str] = {parameter: name for name, parameter in self.network.named_parameters()}
        tensors = {f"network/{key}": value for key, value in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average/{key}": value for key, value in self.average.state_dict().items()}
        for parameter, state in self.optimiser.state.items():
            tensors |= {f"optimiser/{names[parameter]}/{key}": value for key, value in state.items()}
        return tensors


@dataclass(frozen=True, kw_only=True)
class NetworkTrainer:
    """Everything a training needs besides its state. Every draw derives from `seed` and the step."""

    recipe: Recipe
    make: Callable[[], Network]
    """The network with the weights it begins with, always the same."""
    train: Split
    """All training images, held-out ones included: nothing is selected here any more."""
    classes: int
    seed: int
    device: str = "cpu"
    on_step: Callable[[NetworkState], None] = lambda state: None
    """Called between two steps, when the state is whole; it may copy it, and may raise to end the training."""
    on_epoch: Callable[[NetworkState], None] = lambda state: None

    @property
    def batch_size(self) -> int:
        """Never above the number of images."""
        return min(self.recipe.batch_size, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        """A last, smaller batch is left out."""
        return len(self.train) // self.batch_size

    def start(self) -> NetworkState:
        """The state before the first step."""
        network = self.make().to(memory_format=torch.channels_last)
        network.to(self.device).train()
        fast_depthwise(network)
        drop_paths(network, self.recipe.drop_path)
        return NetworkState(
            network=network,
            average=averaged(network, self.recipe.model_ema_decay) if self.recipe.model_ema else None,
            optimiser=started(network, self.recipe),
        )

    def run(self, state: NetworkState) -> NetworkState:
        """Train what is left of all epochs; raises `CollapseError` for a loss that is not finite."""
        mix = mixing(self.classes, mixup=self.recipe.mixup, cutmix=self.recipe.cutmix)
        split = self.train.with_policy(Policy(aa=self.recipe.aa, reprob=self.recipe.reprob))
        while state.position.epoch < self.recipe.epochs:
            for images, labels in self._batches(split, state.position):
                step = state.position.epoch * self.steps_per_epoch + state.position.step
                set_lr(state.optimiser, self._lr(step))
                torch.manual_seed(derive(self.seed, "retrain-step", step))
                mixed = mix(images, labels) if mix else (images, labels)
                loss, logits = self._step(state, *mixed)
                state.position = counted(state.position, loss, logits, labels)
                if not math.isfinite(loss):
                    where = f"epoch {state.position.epoch + 1}, step {state.position.step}"
                    raise CollapseError(f"{where}: the loss is not finite; try a smaller --lr, or --clip-grad 1")
                if state.position.step < self.steps_per_epoch:
                    self.on_step(state)
            state.position = _next_epoch(state.position)
            self.on_epoch(state)
            self.on_step(state)
        return state

    def _batches(self, split: Split, position: Position) -> Iterator[tuple[Tensor, Tensor]]:
        seed = derive(self.seed, "retrain", position.epoch)
        return split.epoch(self.batch_size, seed=seed, drop_last=True, start=position.step)

    def _lr(self, step: int) -> float:
        steps = self.recipe.epochs * self.steps_per_epoch
        warmup = min(round(self.recipe.warmup_epochs * self.steps_per_epoch), steps // 5)
        return warmup_cosine(step, steps=steps, warmup=warmup, peak=self.recipe.lr)

    def _step(self, state: NetworkState, images: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        recipe = self.recipe
        with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.amp):
            logits = state.network(images).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.smoothing)
        state.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if recipe.clip_grad:
            nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip_grad)
        state.optimiser.step()
        if state.average is not None:
            state.average.update_parameters(state.network)
        return float(loss.detach()), logits.detach()


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The moving average of weights and buffers; its decay warms up as (1 + n) / (10 + n) after n steps."""

    def update(average: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        warm = (1.0 + float(count)) / (10.0 + float(count))
        get_ema_multi_avg_fn(min(decay, warm))(average, current, count)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def _next_epoch(position: Position) -> Position:
    seen = max(position.seen, 1)
    return Position(epoch=position.epoch + 1, last_loss=position.loss / seen, last_accuracy=position.hits / seen)
