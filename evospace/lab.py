"""Trains supernets and scores with them, for the strategy: `evospace.strategies.space_evolution.Lab`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig
from evospace.data import SearchSplits
from evospace.estimation.evaluation import Evaluation
from evospace.estimation.shared_weights import SharedWeights
from evospace.report.progress import Progress
from evospace.runs.files import replace_file
from evospace.runs.run_directory import RunDirectory
from evospace.seeding import derive
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.strategies.space_evolution import Problem
from evospace.supernet.fitness import PruneRule
from evospace.supernet.supernet import SuperNet
from evospace.training.supernet_trainer import (
    EpochReport,
    RoundTrainer,
    TrainSettings,
    TrainState,
    inherit_weights,
    initialised_supernet,
)


@dataclass(kw_only=True)
class SupernetRound:
    """One trained round: `evospace.strategies.space_evolution.TrainedRound`."""

    space: SearchSpace
    probabilities: Sequence[np.ndarray]
    fitness: Mapping[tuple[int, str], float]
    pruned: Sequence[tuple[int, str, int]]
    estimator: SharedWeights
    progress: Progress
    summary: dict[str, Any]

    def score(self, architectures: Sequence[Architecture]) -> list[float]:
        """Accuracy under the shared weights."""
        start = time.monotonic()
        total = len(architectures)
        scores = self.estimator.accuracies(architectures, lambda done: self.progress.scored(done, total))
        self.summary["score_seconds"] = round_to_hundredths(time.monotonic() - start)
        return scores


@dataclass(kw_only=True)
class SupernetLab:
    """Trains supernets and scores with them: `evospace.strategies.space_evolution.Lab`."""

    config: SearchConfig
    problem: Problem
    skeleton: Skeleton
    splits: SearchSplits
    device: str
    run: RunDirectory
    progress: Progress
    board: SummaryWriter
    last: SupernetRound | None = field(default=None)

    def train(self, round: int, space: SearchSpace, locked: frozenset[tuple[int, str]]) -> SupernetRound:
        """One round's supernet: fresh or inheriting, trained, pruned."""
        self.progress.start_round(round)
        start = time.monotonic()
        supernet = self._supernet(round, space)
        trainer = self._trainer(round, locked)
        state = trainer.run(trainer.start(supernet, space))
        probabilities = state.fitness.probabilities(state.space)
        self.last = SupernetRound(
            space=state.space,
            probabilities=probabilities,
            fitness=_alphas(state),
            pruned=state.pruned,
            estimator=self._estimator(state.supernet, round),
            progress=self.progress,
            summary={
                "active": sum(map(len, space.candidates)),
                "pruned": len(state.pruned),
                "expected_cost": self.problem.table.expected(state.space, probabilities),
                "train_seconds": round_to_hundredths(time.monotonic() - start),
            },
        )
        return self.last

    def _supernet(self, round: int, space: SearchSpace) -> SuperNet:
        make = partial(SuperNet, self.skeleton, space, self.problem.classes)
        supernet = initialised_supernet(make, self.config.seed, round, self.device)
        if self.config.weights == "inherit" and round > 1:
            inherit_weights(supernet, load_file(self.run.checkpoint(round - 1)))
        return supernet

    @property
    def batch_size(self) -> int:
        """Never above the number of training images."""
        return min(self.config.batch_size, len(self.splits.train))

    def _trainer(self, round: int, locked: frozenset[tuple[int, str]]) -> RoundTrainer:
        config = self.config
        return RoundTrainer(
            settings=TrainSettings(
                epochs=config.epochs, batch_size=self.batch_size, lr=config.lr, train_gates=config.train_gates
            ),
            train=self.splits.train,
            fitness_split=self.splits.fitness,
            table=self.problem.table,
            budget=self.problem.budget,
            rule=PruneRule(threshold=config.prune_threshold, locked=locked),
            classes=self.problem.classes,
            seed=config.seed,
            round=round,
            on_epoch=partial(self._epoch, round),
        )

    def _estimator(self, supernet: SuperNet, round: int) -> SharedWeights:
        seed = derive(self.config.seed, "calibration", round)
        batches = self.splits.train.epoch(self.batch_size, seed=seed, drop_last=True)
        calibration = [batch for _, batch in zip(range(self.config.calibration_batches), batches, strict=False)]
        return SharedWeights(supernet=supernet, calibration=calibration, scoring=self.splits.scoring)

    def _epoch(self, round: int, report: EpochReport) -> None:
        self.progress.epoch(
            report.epoch,
            loss=report.loss,
            accuracy=report.accuracy,
            cost=report.expected_cost,
            unit=self.problem.budget.metric,
            active=report.active,
        )
        step = (round - 1) * report.epochs + report.epoch
        for name in ("loss", "accuracy", "expected_cost", "active"):
            self.board.add_scalar(f"supernet/{name}", getattr(report, name), step)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts and seconds of the last round."""
        assert self.last is not None
        return self.last.summary

    def save(self, round: int, front: Sequence[Evaluation]) -> None:
        """Keep the round's supernet, and each front architecture's weights with BatchNorm calibrated for it."""
        assert self.last is not None
        estimator = self.last.estimator
        _save(self.run.checkpoint(round), estimator.supernet.state_dict())
        for i, e in enumerate(front):
            estimator.supernet.calibrate(e.architecture, (images for images, _ in estimator.calibration))
            _save(self.run.member(round, i), estimator.supernet.extract(e.architecture).state_dict())


def _save(path: Path, state: Mapping[str, Tensor]) -> None:
    tensors = {key: value.contiguous().cpu() for key, value in state.items()}
    replace_file(path, lambda temporary: save_file(tensors, temporary))


def _alphas(state: TrainState) -> dict[tuple[int, str], float]:
    alpha = state.fitness.alpha.detach().cpu()
    return {pair: float(alpha[i]) for pair, i in state.fitness.index.items()}


def round_to_hundredths(seconds: float) -> float:
    """Seconds as they are stored."""
    return float(f"{seconds:.2f}")
