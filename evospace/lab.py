"""Trains supernets and scores with them, for the strategy: `evospace.strategies.space_evolution.Lab`."""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig
from evospace.errors import EvospaceError
from evospace.estimation.evaluation import Evaluation
from evospace.estimation.shared_weights import SharedWeights
from evospace.report.progress import Progress
from evospace.runs.checkpoints import TrainingCheckpoints, load_checkpoint, save_checkpoint
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.seeding import derive
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.space_evolution import Problem
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import inherit_weights
from evospace.training.snapshot import TrainState, pack, take, unpack
from evospace.training.supernet_trainer import (
    EpochReport,
    Progressed,
    RoundTrainer,
)
from evospace.workbench import Workbench

SAVE_SECONDS = 60.0
"""A crash costs at most about this much training; what is stored when does not change the result."""
SCORES_SECONDS = 1.0
"""Scores are stored about this often, not one by one: every commit waits for the disk."""


@dataclass(kw_only=True)
class SupernetRound:
    """One trained round: `evospace.strategies.space_evolution.TrainedRound`."""

    space: SearchSpace
    probabilities: Sequence[np.ndarray]
    fitness: Mapping[tuple[int, str], float]
    pruned: Sequence[tuple[int, str, int]]
    estimator: SharedWeights
    summary: dict[str, Any]
    scores: Callable[[Sequence[Architecture]], list[float | str]]

    def score(self, architectures: Sequence[Architecture]) -> list[float | str]:
        """Accuracy under the shared weights, or why there is none."""
        return self.scores(architectures)


@dataclass(kw_only=True)
class SupernetLab:
    """Trains supernets and scores with them: `evospace.strategies.space_evolution.Lab`.

    What it does is stored as it goes on, so that a run that was ended at any moment goes on from there.
    """

    bench: Workbench
    run: RunDirectory
    progress: Progress
    board: SummaryWriter
    signals: Signals
    last: SupernetRound | None = field(default=None)
    _saved: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> SearchConfig:
        """The search's settings."""
        return self.bench.config

    @property
    def problem(self) -> Problem:
        """What is searched."""
        return self.bench.problem

    @property
    def checkpoints(self) -> TrainingCheckpoints:
        """Of the round under way."""
        return TrainingCheckpoints(self.run.path / "checkpoints", self.progress.line)

    def train(self, round: int, space: SearchSpace, locked: frozenset[tuple[int, str]]) -> SupernetRound:
        """One round's supernet: fresh or inheriting, trained, pruned; or what is left of that."""
        self.progress.start_round(round)
        trainer = self._trainer(round, space, locked)
        with self._timed(round, "train"):
            state = self._trained(trainer)
        probabilities = state.fitness.probabilities(state.space)
        estimator = self.bench.estimator(state.supernet, round)
        self.last = SupernetRound(
            space=state.space,
            probabilities=probabilities,
            fitness=_alphas(state),
            pruned=state.pruned,
            estimator=estimator,
            scores=partial(self._scores, round, estimator),
            summary={
                "active": sum(map(len, space.candidates)),
                "pruned": len(state.pruned),
                "expected_cost": self.problem.table.expected(state.space, probabilities),
            },
        )
        return self.last

    def _trained(self, trainer: RoundTrainer) -> TrainState:
        saved = self.checkpoints.newest(trainer.round)
        now, good = unpack(*saved) if saved else (None, None)
        with self.bench.memory_errors(trainer.round):
            state = trainer.run(now, good)
        if now is None or now.meta["position"]["epoch"] < self.config.epochs:
            self._save(trainer.round, Progressed(state=state, good=None))
        return state

    def _save(self, round: int, progressed: Progressed) -> None:
        self.checkpoints.save(*pack(round, take(progressed.state), progressed.good))
        self._saved = time.monotonic()

    def _after_step(self, round: int, progressed: Progressed) -> None:
        if self.signals.take_save() or time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(round, progressed)
        position = progressed.state.position
        self.check_signals(f"round {round}, epoch {position.epoch + 1}, step {position.step}")

    def check_signals(self, where: str) -> None:
        """Raise `InterruptedRunError` where a signal asks for the end."""
        self.signals.check(where, f"evospace search --out {shlex.quote(str(self.run.path))} --resume")

    @contextmanager
    def _timed(self, round: int, phase: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        except BaseException:
            with suppress(EvospaceError):  # what ended the phase is what the user is to hear of
                self.run.database.add_seconds(round, phase, time.monotonic() - start)
            raise
        self.run.database.add_seconds(round, phase, time.monotonic() - start)

    def _scores(self, round: int, estimator: SharedWeights, architectures: Sequence[Architecture]) -> list[float | str]:
        """Score in order, going on after what is stored already."""
        pairs = zip(self.run.database.scores(round), architectures, strict=False)
        scores = [score for (_, score), _ in takewhile(lambda pair: pair[0][0] == pair[1], pairs)]
        stored, saved = len(scores), time.monotonic()
        with self._timed(round, "score"):
            for position in range(len(scores), len(architectures)):
                torch.manual_seed(derive(self.config.seed, "score", round, position))
                scores.append(estimator.score(architectures[position]))
                done = position + 1
                self.progress.scored(done, len(architectures))
                ended = done == len(architectures) or self.signals.take_save()
                if ended or time.monotonic() - saved > SCORES_SECONDS:
                    new = list(zip(architectures[stored:done], scores[stored:], strict=True))
                    self.run.database.add_scores(round, stored, new)
                    stored, saved = done, time.monotonic()
                    self.check_signals(f"round {round}, scoring {done} of {len(architectures)}")
        return scores

    def _supernet(self, round: int, space: SearchSpace) -> SuperNet:
        supernet = self.bench.supernet(round, space)
        if self.config.weights == "inherit" and round > 1:
            inherit_weights(supernet, load_checkpoint(self.run.checkpoint(round - 1))[0])
        return supernet

    def _trainer(self, round: int, space: SearchSpace, locked: frozenset[tuple[int, str]]) -> RoundTrainer:
        return self.bench.trainer(
            round,
            space,
            partial(self._supernet, round, space),
            locked,
            on_epoch=partial(self._epoch, round),
            on_step=partial(self._after_step, round),
            on_data_error=partial(self._save, round),
        )

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
        save_checkpoint(self.run.checkpoint(round), estimator.supernet.weights(), {"round": round})
        for i, e in enumerate(front):
            estimator.supernet.calibrate(e.architecture, (images for images, _ in estimator.calibration))
            state = estimator.supernet.extract(e.architecture).state_dict()
            save_checkpoint(self.run.member(round, i), state, {"round": round, "accuracy": e.accuracy})


def _alphas(state: TrainState) -> dict[tuple[int, str], float]:
    alpha = state.fitness.alpha.detach().cpu()
    return {pair: float(alpha[i]) for pair, i in state.fitness.index.items()}
