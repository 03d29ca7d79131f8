"""Trains the supernet for one round: weight steps, fitness steps, pruning (docs/method.md, section 3)."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.data.splits import Split
from evospace.errors import CollapseError
from evospace.sampling.gates import draw, uniform_probabilities
from evospace.sampling.reachable import is_reachable
from evospace.seeding import derive, numpy_generator
from evospace.space.search_space import SearchSpace
from evospace.supernet.choice_block import route_of
from evospace.supernet.fitness import (
    Fitness,
    PruneRule,
    cost_penalty,
    draw_pairs,
    expected_cost,
    first_weights,
    pair_route,
)
from evospace.supernet.network import initialise
from evospace.supernet.supernet import SuperNet
from evospace.training.optimisers import forget, set_lr, sgd, warmup_cosine

FITNESS_EVERY = 2
"""A fitness step follows every second weight step, as the authors' do."""
FITNESS_BETAS = (0.0, 0.999)
"""Adam without a first moment: alpha follows the last gradient's sign, scaled."""
TRAVEL, LR_LOW, LR_HIGH = 30.0, 5e-3, 1e-1
"""Fitness lr = clamp(30 / steps, 5e-3, 1e-1), so that alpha can reach the threshold in a small run too."""
ROLLBACKS = 3
"""Times that a collapsed epoch is taken back, with half the learning rate, before the round fails."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How one round trains the supernet."""

    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    """Peak learning rate of the weights."""
    train_gates: Literal["uniform", "fitness"] = "uniform"
    """What a weight step draws its architecture from: every gate at 1/2, or the current fitness."""


@dataclass(kw_only=True)
class TrainState:
    """All that changes while a round trains; copied whole as the last good state."""

    supernet: SuperNet
    fitness: Fitness
    space: SearchSpace
    """What is still active."""
    weight_optimiser: torch.optim.SGD
    fitness_optimiser: torch.optim.Adam
    pruned: list[tuple[int, str, int]] = field(default_factory=list)
    """(block, operation, step) in order."""
    needed: set[tuple[int, str]] = field(default_factory=set)
    """Weak operations without which the budget could not be reached; a smaller space needs them all the more."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What one epoch came to."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    expected_cost: float
    """Mean cost of an architecture drawn from the fitness, in the budget's unit."""
    active: int
    """Active (block, operation) pairs."""


@dataclass(frozen=True, kw_only=True)
class RoundTrainer:
    """Everything one round's training needs besides its state."""

    settings: TrainSettings
    train: Split
    fitness_split: Split
    table: CostTable
    budget: Budget
    rule: PruneRule
    classes: int
    seed: int
    round: int
    on_epoch: Callable[[EpochReport], None] = lambda report: None

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in one epoch; a last, smaller batch is left out (the batch is never larger than the split)."""
        return len(self.train) // self.settings.batch_size

    def start(self, supernet: SuperNet, space: SearchSpace) -> TrainState:
        """Fresh fitness and optimisers over a supernet."""
        fitness = Fitness(space).to(next(supernet.parameters()).device)
        fitness_steps = max(self.settings.epochs * self.steps_per_epoch // FITNESS_EVERY, 1)
        lr = min(max(TRAVEL / fitness_steps, LR_LOW), LR_HIGH)
        return TrainState(
            supernet=supernet,
            fitness=fitness,
            space=space,
            weight_optimiser=sgd(supernet, lr=self.settings.lr),
            fitness_optimiser=torch.optim.Adam([fitness.alpha], lr=lr, betas=FITNESS_BETAS),
        )

    def run(self, state: TrainState) -> TrainState:
        """Train all epochs; a collapsed epoch is repeated from the last good state with half the rate.

        Raises `CollapseError` after three roll-backs.
        """
        good, best, scale, rollbacks, epoch = copy.deepcopy(state), 0.0, 1.0, 0, 0
        while epoch < self.settings.epochs:
            report = self._epoch(state, epoch, scale)
            if collapsed(report, best, 1.0 / self.classes):
                rollbacks += 1
                if rollbacks > ROLLBACKS:
                    raise CollapseError(
                        f"round {self.round}, epoch {epoch + 1}: training collapsed (loss {report.loss:.3g},"
                        f" accuracy {report.accuracy:.3f}) after {ROLLBACKS} roll-backs; try a smaller --lr"
                    )
                scale, state = scale / 2, copy.deepcopy(good)
                continue
            best, epoch = max(best, report.accuracy), epoch + 1
            good = copy.deepcopy(state) if epoch < self.settings.epochs else state
            self.on_epoch(report)
        return state

    def _epoch(self, state: TrainState, epoch: int, scale: float) -> EpochReport:
        per_epoch, settings = self.steps_per_epoch, self.settings
        steps = settings.epochs * per_epoch
        warmup = min(2 * per_epoch, steps // 5)
        held_out = self._held_out(epoch)
        seed = derive(self.seed, "augment", self.round, epoch)
        losses, hits, seen = 0.0, 0, 0
        for i, (images, labels) in enumerate(self.train.epoch(settings.batch_size, seed=seed, drop_last=True)):
            step = epoch * per_epoch + i
            self._prune(state, step)
            lr = warmup_cosine(step, steps=steps, warmup=warmup, peak=settings.lr)
            set_lr(state.weight_optimiser, lr * scale)
            loss, logits = self._weight_step(state, images, labels, step)
            losses += loss * len(labels)
            hits += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
            if not math.isfinite(loss):
                break
            if step % FITNESS_EVERY == FITNESS_EVERY - 1:
                fitness_step(state, next(held_out), self._rng("fitness-step", step), self.table, self.budget)
        return EpochReport(
            epoch=epoch + 1,
            epochs=settings.epochs,
            loss=losses / seen,
            accuracy=hits / seen,
            expected_cost=self.table.expected(state.space, state.fitness.probabilities(state.space)),
            active=sum(map(len, state.space.candidates)),
        )

    def _rng(self, purpose: str, step: int) -> np.random.Generator:
        return numpy_generator(self.seed, purpose, self.round, step)

    def _held_out(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the fitness split without end, in an order fixed by seed, round and epoch."""
        turn = 0
        while True:
            seed = derive(self.seed, "held-out", self.round, epoch, turn)
            size = min(self.settings.batch_size, len(self.fitness_split))
            yield from self.fitness_split.epoch(size, seed=seed, drop_last=True)
            turn += 1

    def _weight_step(self, state: TrainState, images: Tensor, labels: Tensor, step: int) -> tuple[float, Tensor]:
        fitted = self.settings.train_gates == "fitness"
        gates = state.fitness.probabilities(state.space) if fitted else uniform_probabilities(state.space)
        architecture = draw(state.space, gates, self._rng("weight-step", step))
        state.supernet.train()
        logits = state.supernet(images, route_of(architecture))
        loss = functional.cross_entropy(logits, labels)
        state.weight_optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.weight_optimiser.step()
        return float(loss.detach()), logits.detach()

    def _prune(self, state: TrainState, step: int) -> None:
        """Drop weak operations, weakest first, but none whose loss would put the budget out of reach."""
        for pair in self.rule.weak(state.space, state.fitness.values(state.space)):
            if pair in state.needed:
                continue
            smaller = state.space.without([pair])
            if not is_reachable(smaller, self.table, self.budget):
                state.needed.add(pair)
                continue
            state.space = smaller
            forget(state.weight_optimiser, state.supernet.drop([pair]))
            state.pruned.append((*pair, step))


def fitness_step(
    state: TrainState,
    batch: tuple[Tensor, Tensor],
    rng: np.random.Generator,
    table: CostTable,
    budget: Budget,
) -> float:
    """One update of alpha on held-out images; weights get no gradient. Returns the loss with its penalty."""
    images, labels = batch
    pairs = draw_pairs(state.space, state.fitness, rng)
    state.supernet.train().requires_grad_(False)
    try:
        u = first_weights(state.fitness, state.space, pairs)
        logits = state.supernet(images, pair_route(pairs, u))
        expected = expected_cost(pairs, u, table)
        loss = functional.cross_entropy(logits, labels) + cost_penalty(expected, budget.target)
        state.fitness_optimiser.zero_grad(set_to_none=True)
        if loss.isfinite() and loss.requires_grad:
            torch.autograd.backward(loss)
            state.fitness_optimiser.step()
    finally:
        state.supernet.requires_grad_(True)
    return float(loss.detach())


def collapsed(report: EpochReport, best: float, chance: float) -> bool:
    """A loss that is not finite, or an accuracy under half of the best so far once that was twice chance."""
    return not math.isfinite(report.loss) or (best > 2 * chance and report.accuracy < best / 2)


def inherit_weights(supernet: SuperNet, previous: dict[str, Tensor]) -> int:
    """Copy the weights of everything that stays from an earlier supernet's state; returns how many tensors."""
    own = supernet.state_dict()
    kept = {key: value for key, value in previous.items() if key in own and own[key].shape == value.shape}
    supernet.load_state_dict(own | kept)
    return len(kept)


def initialised_supernet(make: Callable[[], SuperNet], seed: int, round: int, device: str) -> SuperNet:
    """A supernet with weights fixed by (seed, round), channels_last, on `device`."""
    supernet = make()
    initialise(supernet, torch.Generator().manual_seed(derive(seed, "weights", round)))
    moved: SuperNet = supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
