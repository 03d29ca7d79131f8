"""Trains the supernet for one round: epochs, rates, roll-backs (docs/method.md).

What a step trains is a rule's (`evospace.training.rules`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.cost.table import CostTable
from evospace.data.splits import Batch, Split
from evospace.errors import CollapseError, DataError
from evospace.seeding import derive, numpy_generator
from evospace.space.search_space import SearchSpace
from evospace.supernet.fitness import Fitness
from evospace.supernet.supernet import SuperNet
from evospace.training.counting import counted
from evospace.training.optimisers import parameters_of, set_lr, sgd, started_adam, warmup_cosine
from evospace.training.rules.rule import Rule
from evospace.training.snapshot import Position, Snapshot, TrainState, restore, take

FITNESS_BETAS = (0.0, 0.999)
"""Adam without a first moment: alpha follows the last gradient's sign, scaled."""
TRAVEL, LR_LOW, LR_HIGH = 30.0, 5e-3, 1e-1
"""Fitness lr = clamp(30 / steps, 5e-3, 1e-1), so that alpha can reach the threshold in a small run too."""
CLIP = 1.0
"""Largest norm of a weight step's gradient, about its median on digits. Architectures drawn at random give gradients
with a heavy tail (one in a hundred is twenty times the median), which ruin weights that are trained already, as those
that `--weights inherit` carries over: docs/results/study-history.md."""
ROLLBACKS = 3
"""Times that a collapsed epoch is taken back, with half the learning rate, before the round fails."""
TELLING = 100
"""Images whose accuracy tells a collapse from chance: of 100, half of 40 % is four standard errors away."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How one round trains the supernet."""

    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    """Peak learning rate of the weights."""


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
class Progressed:
    """Handed out after every step: copies are made only where `take` is called."""

    state: TrainState
    good: Snapshot | None
    """The state at the end of the last epoch that did not collapse; `None` where the round has ended."""


@dataclass(frozen=True, kw_only=True)
class RoundTrainer:
    """Everything one round's training needs besides its state."""

    settings: TrainSettings
    make: Callable[[], SuperNet]
    """An untrained supernet over `space`, always the same."""
    space: SearchSpace
    """What the round begins with."""
    train: Split
    fitness_split: Split
    table: CostTable
    rule: Rule
    classes: int
    seed: int
    round: int
    waits: bool = True
    """Whether fitness steps wait as long as the rule says; a few steps that stand for all do not."""
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_step: Callable[[Progressed], None] = lambda progressed: None
    """Called between two steps, when the state is whole; it may copy it and may raise, to end the training."""
    on_data_error: Callable[[Progressed], None] = lambda progressed: None
    """Called when the next batch cannot be read, before the error goes on its way."""

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in one epoch; a last, smaller batch is left out (the batch is never larger than the split)."""
        return len(self.train) // self.settings.batch_size

    def start(self) -> TrainState:
        """An untrained supernet with fresh fitness and optimisers."""
        supernet = self.make()
        fitness = Fitness(self.space, skips=self.rule.skips).to(next(supernet.parameters()).device)
        fitness_steps = max(self._fitness_steps(self.settings.epochs * self.steps_per_epoch), 1)
        lr = min(max(TRAVEL / fitness_steps, LR_LOW), LR_HIGH)
        return TrainState(
            supernet=supernet,
            fitness=fitness,
            space=self.space,
            weight_optimiser=sgd(supernet, lr=self.settings.lr),
            fitness_optimiser=started_adam(fitness.alpha, lr=lr, betas=FITNESS_BETAS),
        )

    def from_snapshot(self, snapshot: Snapshot) -> TrainState:
        """A state that goes on from a copy."""
        state = self.start()
        restore(state, snapshot)
        return state

    def run(self, now: Snapshot | None = None, good: Snapshot | None = None) -> TrainState:
        """Train all epochs, from the beginning or from `now`, whose last good state is `good`.

        A collapsed epoch is repeated from the last good state with half the rate; raises `CollapseError` after
        three roll-backs.
        """
        state = self.from_snapshot(now) if now else self.start()
        good = good or take(state)
        while state.position.epoch < self.settings.epochs:
            report = self._epoch(Progressed(state=state, good=good))
            images = self.steps_per_epoch * self.settings.batch_size
            if collapsed(report, state.position.best, 1.0 / self.classes, images):
                state = self._rolled_back(report, state.position, good)
                continue
            best = 0.0 if self.rule.hardens else max(state.position.best, report.accuracy)
            position = state.position
            state.position = Position(
                epoch=position.epoch + 1, best=best, scale=position.scale, rollbacks=position.rollbacks
            )
            good = take(state)
            self.on_epoch(report)
        return state

    def _rolled_back(self, report: EpochReport, position: Position, good: Snapshot) -> TrainState:
        if position.rollbacks == ROLLBACKS:
            other = "" if math.isfinite(report.loss) else " (an operation of --ops may do this, too)"
            raise CollapseError(
                f"round {self.round}, epoch {report.epoch}: training collapsed (loss {report.loss:.3g},"
                f" accuracy {report.accuracy:.3f}) after {ROLLBACKS} roll-backs; try a smaller --lr{other}"
            )
        state = self.from_snapshot(good)
        state.position = replace(state.position, scale=position.scale / 2, rollbacks=position.rollbacks + 1)
        return state

    def _epoch(self, progressed: Progressed) -> EpochReport:
        """The rest of an epoch."""
        state = progressed.state
        for images, labels, held_out in self._batches(progressed):
            step = state.position.epoch * self.steps_per_epoch + state.position.step
            self.rule.prune(state, step)
            lr = self._lr(step) * state.position.scale
            set_lr(state.weight_optimiser, lr)
            self._seed_operations(step)
            loss, logits = self._weight_step(state, images, labels, step)
            state.position = counted(state.position, loss, logits, labels)
            if not math.isfinite(loss):
                break
            if held_out is not None:
                self.rule.fitness_step(state, held_out, (images, labels), self._rng("fitness-step", step), lr)
            self.on_step(progressed)
        position = state.position
        return EpochReport(
            epoch=position.epoch + 1,
            epochs=self.settings.epochs,
            loss=position.loss / position.seen,
            accuracy=position.hits / position.seen,
            expected_cost=self.table.expected(state.space, state.fitness.probabilities(state.space)),
            active=sum(map(len, state.space.candidates)),
        )

    def _batches(self, progressed: Progressed) -> Iterator[tuple[Tensor, Tensor, Batch | None]]:
        """What is left of the epoch: a training batch, and a held-out one where a fitness step follows."""
        epoch, done = progressed.state.position.epoch, progressed.state.position.step
        first, size = epoch * self.steps_per_epoch, self.settings.batch_size
        used = self._fitness_steps(first + done) - self._fitness_steps(first)
        try:
            held_out = self._held_out(epoch, used)
            batches = self.train.epoch(
                size, seed=derive(self.seed, "augment", self.round, epoch), drop_last=True, start=done
            )
            for step, (images, labels) in enumerate(batches, start=first + done):
                due = self._fitness_steps(step + 1) > self._fitness_steps(step)
                yield images, labels, next(held_out) if due else None
        except DataError:
            self.on_data_error(progressed)
            raise

    def _fitness_steps(self, steps: int) -> int:
        """Fitness steps among the first `steps` weight steps of the round."""
        waiting = round(self.rule.waits * self.settings.epochs * self.steps_per_epoch) if self.waits else 0
        return max(steps - waiting, 0) // self.rule.every if self.rule.every else 0

    def _lr(self, step: int) -> float:
        steps = self.settings.epochs * self.steps_per_epoch
        warmup = min(2 * self.steps_per_epoch, steps // 5)
        return warmup_cosine(step, steps=steps, warmup=warmup, peak=self.settings.lr)

    def _seed_operations(self, step: int) -> None:
        """Operations that draw for themselves (dropout, say) draw the same when the step is done again."""
        torch.manual_seed(derive(self.seed, "operations", self.round, step))

    def _rng(self, purpose: str, step: int) -> np.random.Generator:
        return numpy_generator(self.seed, purpose, self.round, step)

    def _held_out(self, epoch: int, used: int) -> Iterator[Batch]:
        """Batches of the fitness split without end, after the first `used`, fixed by seed, round and epoch."""
        size = min(self.settings.batch_size, len(self.fitness_split))
        turn, start = divmod(used, len(self.fitness_split) // size)
        while True:
            seed = derive(self.seed, "held-out", self.round, epoch, turn)
            yield from self.fitness_split.epoch(size, seed=seed, drop_last=True, start=start)
            turn, start = turn + 1, 0

    def _weight_step(self, state: TrainState, images: Tensor, labels: Tensor, step: int) -> tuple[float, Tensor]:
        route = self.rule.route(state, self._rng("weight-step", step), step)
        state.supernet.train()
        logits = state.supernet(images, route)
        loss = functional.cross_entropy(logits, labels)
        state.weight_optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(parameters_of(state.weight_optimiser), CLIP)
        if not norm.isfinite():  # clipping made it NaN, and with it all weights: no later loss may tell of it
            return math.inf, logits.detach()
        state.weight_optimiser.step()
        return float(loss.detach()), logits.detach()


def collapsed(report: EpochReport, best: float, chance: float, images: int) -> bool:
    """A loss that is not finite (a gradient is told as one), or an accuracy of enough images (`TELLING`) that is under
    half of the best once that was twice chance."""
    fell = best > 2 * chance and report.accuracy < best / 2
    return not math.isfinite(report.loss) or (fell and images >= TELLING)
