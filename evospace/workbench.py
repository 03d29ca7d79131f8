"""What supernets of a search are trained and scored on: made the same way by the search and by its forecast."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from evospace.config import SearchConfig, parse_window
from evospace.data import SearchSplits
from evospace.devices import memory_errors
from evospace.estimation.shared_weights import SharedWeights
from evospace.estimation.trained_alone import TrainedAlone
from evospace.sampling.in_budget import InBudgetGates
from evospace.seeding import derive
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.strategies.contract import Problem, RuleName
from evospace.supernet.fitness import PruneRule
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import initialised_supernet
from evospace.training.recipe import Recipe
from evospace.training.rules.darts import DartsRule
from evospace.training.rules.nse import NseRule
from evospace.training.rules.path_dropout import PathDropoutRule
from evospace.training.rules.proxyless import ProxylessRule
from evospace.training.rules.rule import Rule
from evospace.training.rules.uniform import UniformRule
from evospace.training.supernet_trainer import RoundTrainer, TrainSettings


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Settings, space, images and device of one search."""

    config: SearchConfig
    problem: Problem
    skeleton: Skeleton
    splits: SearchSplits
    device: str

    @property
    def aligned(self) -> bool:
        """Whether operations of one kind begin alike."""
        return self.config.initial_weights == "aligned"

    @property
    def batch_size(self) -> int:
        """Never above the number of training images."""
        return min(self.config.batch_size, len(self.splits.train))

    @contextmanager
    def memory_errors(self, round: int) -> Iterator[None]:
        """Training that runs out of memory becomes a `UsageError` that tells what to lower."""
        where = f"in round {round} at --batch-size {self.batch_size}"
        with memory_errors(where, "begin again with a smaller --batch-size or fewer --candidates"):
            yield

    def supernet(self, round: int, space: SearchSpace) -> SuperNet:
        """An untrained supernet over `space`."""
        make = partial(SuperNet, self.skeleton, space, self.problem.classes)
        return initialised_supernet(make, self.config.seed, round, self.device, aligned=self.aligned)

    def rule(self, name: RuleName, locked: frozenset[tuple[int, str]] = frozenset()) -> Rule:
        """What a step of training does, by name."""
        config, table, budget = self.config, self.problem.table, self.problem.budget
        if name == "nse":
            return NseRule(
                table=table,
                budget=budget,
                limits=self.problem.upper,
                weak=PruneRule(threshold=config.prune_threshold, locked=locked),
                train_gates=config.train_gates,
                gates_window=parse_window(config.gates_window),
                fitness_pairs=config.fitness_pairs,
            )
        if name == "darts":
            return DartsRule(table=table, budget=budget, order=config.darts_order)
        if name == "proxyless":
            return ProxylessRule(table=table, budget=budget)
        if name == "path-dropout":
            return PathDropoutRule(steps=config.epochs * (len(self.splits.train) // self.batch_size))
        window = budget.around(*parse_window(config.gates_window))
        return UniformRule(near=None if config.train_gates == "uniform" else InBudgetGates(table, window))

    def trainer(
        self,
        round: int,
        space: SearchSpace,
        make: Callable[[], SuperNet],
        rule: RuleName,
        locked: frozenset[tuple[int, str]] = frozenset(),
        **hooks: Any,
    ) -> RoundTrainer:
        """Trains what `make` makes over `space`; `hooks` as `RoundTrainer` has them."""
        config = self.config
        return RoundTrainer(
            settings=TrainSettings(
                epochs=config.epochs,
                batch_size=self.batch_size,
                lr=config.lr,
            ),
            make=make,
            space=space,
            train=self.splits.train,
            fitness_split=self.splits.fitness,
            table=self.problem.table,
            rule=self.rule(rule, locked),
            classes=self.problem.classes,
            seed=config.seed,
            round=round,
            **hooks,
        )

    def alone(self, **hooks: Any) -> TrainedAlone:
        """Scores by training each architecture by itself, with the search's epochs, batch and rate.

        `hooks` as `TrainedAlone` has them: where weights and states are kept.
        """
        config = self.config
        return TrainedAlone(
            skeleton=self.skeleton,
            classes=self.problem.classes,
            recipe=Recipe(epochs=config.epochs, batch_size=config.batch_size, lr=config.lr),
            train=self.splits.train,
            scoring=self.splits.scoring,
            seed=config.seed,
            device=self.device,
            **hooks,
        )

    def estimator(self, supernet: SuperNet, round: int) -> SharedWeights:
        """Scores with a supernet's weights, always on the same calibration batches of a round."""
        seed = derive(self.config.seed, "calibration", round)
        batches = self.splits.train.epoch(self.batch_size, seed=seed, drop_last=True)
        calibration = [batch for _, batch in zip(range(self.config.calibration_batches), batches, strict=False)]
        return SharedWeights(supernet=supernet, calibration=calibration, scoring=self.splits.scoring)
