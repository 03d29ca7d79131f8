"""Trains supernets and scores with them, for the strategy: `evospace.strategies.contract.Lab`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig
from evospace.estimation.evaluation import Evaluation
from evospace.estimation.shared_weights import SharedWeights
from evospace.estimation.trained_alone import TrainedAlone
from evospace.lab_round import LabRound
from evospace.report.progress import Progress
from evospace.round_storage import RoundStorage
from evospace.runs.checkpoints import load_checkpoint, save_checkpoint
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.sampling.gates import initial_probabilities
from evospace.score_book import ScoreBook
from evospace.seeding import derive
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, RuleName
from evospace.strategies.strategy import STRATEGIES
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import inherit_weights
from evospace.training.snapshot import TrainState
from evospace.training.supernet_trainer import EpochReport, Progressed, RoundTrainer
from evospace.workbench import Workbench


@dataclass(kw_only=True)
class SupernetLab:
    """Trains supernets and scores with them: `evospace.strategies.contract.Lab`.

    What it does is stored as it goes on, so that a run that was ended at any moment goes on from there.
    """

    bench: Workbench
    run: RunDirectory
    progress: Progress
    board: SummaryWriter
    signals: Signals
    last: LabRound | None = None
    book: ScoreBook | None = None

    @property
    def config(self) -> SearchConfig:
        """The search's settings."""
        return self.bench.config

    @property
    def problem(self) -> Problem:
        """What is searched."""
        return self.bench.problem

    @property
    def samples(self) -> int:
        """About how many architectures a round scores."""
        return STRATEGIES[self.config.strategy].scores(self.config, True)

    @cached_property
    def storage(self) -> RoundStorage:
        """Of the round under way."""
        return RoundStorage(self.run, self.signals, self.progress.line)

    def clear(self) -> None:
        """The round under way is finished and stored."""
        self.storage.clear()

    def train(
        self,
        round: int,
        space: SearchSpace,
        rule: RuleName,
        *,
        locked: frozenset[tuple[int, str]] = frozenset(),
        go_on: bool = False,
    ) -> LabRound:
        """One round's supernet: fresh or inheriting, trained, pruned; or what is left of that."""
        self.progress.start_round(round)
        inherit = go_on or self.config.weights == "inherit"
        trainer = self._trainer(round, space, rule, locked, inherit=inherit)
        with self.storage.seconds.of(round, "train"):
            state = self._trained(trainer)
        estimator = self.bench.estimator(state.supernet, round)
        learned = trainer.rule.every > 0
        probabilities = state.fitness.probabilities(state.space) if learned else initial_probabilities(state.space)
        summary = {
            "active": sum(map(len, space.candidates)),
            "expected_cost": self.problem.table.expected(state.space, probabilities),
            "images": self.config.epochs * trainer.steps_per_epoch * trainer.settings.batch_size,
        }
        self.last = LabRound(
            space=state.space,
            probabilities=probabilities,
            fitness=state.fitness.learned(),
            pruned=state.pruned,
            estimator=estimator,
            scores=self._book(round, estimator).ask,
            initial=partial(self.bench.supernet, 1, self.problem.full),
            summary=summary,
        )
        return self.last

    def train_alone(self, round: int, space: SearchSpace) -> LabRound:
        """No supernet: an architecture is trained when it is to be scored."""
        self.progress.start_round(round)
        estimator = self.bench.alone(
            under_way=partial(self.storage.alone, round),
            on_step=partial(self.storage.after_step_alone, round),
            kept=self.storage.kept,
        )
        probabilities = initial_probabilities(space)
        active = [(b, name) for b, names in enumerate(space.candidates) for name in names]
        self.last = LabRound(
            space=space,
            probabilities=probabilities,
            fitness=dict.fromkeys(active, 0.0),
            estimator=estimator,
            scores=self._book(round, estimator).ask,
            summary={
                "active": len(active),
                "expected_cost": self.problem.table.expected(space, probabilities),
            },
        )
        return self.last

    def _trained(self, trainer: RoundTrainer) -> TrainState:
        now, good = self.storage.supernet(trainer.round)
        with self.bench.memory_errors(trainer.round):
            state = trainer.run(now, good)
        if now is None or now.meta["position"]["epoch"] < self.config.epochs:
            self.storage.save(trainer.round, Progressed(state=state, good=None))
        return state

    def check_signals(self, where: str) -> None:
        """Raise `InterruptedRunError` where a signal asks for the end."""
        self.storage.check_signals(where)

    def _book(self, round: int, estimator: SharedWeights | TrainedAlone) -> ScoreBook:
        def score(position: int, architecture: Architecture) -> float | str:
            torch.manual_seed(derive(self.config.seed, "score", round, position))
            return estimator.score(architecture)

        def on_score(asked: int, wanted: int) -> bool:
            self.progress.scored(asked, max(wanted, self.samples))
            return self.signals.take_save()

        def on_store(asked: int, wanted: int) -> None:
            self.check_signals(f"round {round}, scoring {asked} of {max(wanted, self.samples)}")

        self.book = ScoreBook(self.run.database, round, score, on_score, on_store)
        return self.book

    def _supernet(self, round: int, space: SearchSpace, inherit: bool) -> SuperNet:
        supernet = self.bench.supernet(round, space)
        if inherit and round > 1:
            previous, _ = load_checkpoint(self.run.checkpoint(round - 1))
            inherit_weights(supernet, previous, aligned=self.bench.aligned)
        return supernet

    def _trainer(
        self, round: int, space: SearchSpace, rule: RuleName, locked: frozenset[tuple[int, str]], *, inherit: bool
    ) -> RoundTrainer:
        return self.bench.trainer(
            round,
            space,
            partial(self._supernet, round, space, inherit),
            rule,
            locked,
            on_epoch=partial(self._epoch, round),
            on_step=partial(self.storage.after_step, round),
            on_data_error=partial(self.storage.save, round),
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
        """Keep the round's supernet, if any, and each front architecture's weights with its BatchNorm statistics."""
        assert self.last is not None
        assert self.book is not None
        self.book.store()
        estimator = self.last.estimator
        if isinstance(estimator, SharedWeights):
            save_checkpoint(self.run.checkpoint(round), estimator.supernet.weights(), {"round": round})
        for i, e in enumerate(front):
            meta = {"round": round, "accuracy": e.accuracy}
            torch.manual_seed(derive(self.config.seed, "member", round, i))  # operations that draw for themselves
            save_checkpoint(self.run.member(round, i), estimator.weights(e.architecture), meta)
