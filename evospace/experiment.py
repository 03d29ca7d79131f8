"""The composition root: puts data, space, costs, supernet, strategy and run directory together."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.data import ImageData, SearchSplits, hold_out, load_data
from evospace.errors import UsageError
from evospace.estimation.evaluation import Evaluation
from evospace.estimation.shared_weights import Batches, SharedWeights
from evospace.ops.pools import pool_with
from evospace.ops.user import load_ops_file
from evospace.report.figures import draw_fronts, draw_space
from evospace.report.progress import Progress, console, front_table
from evospace.runs.files import replace_file, write_json
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
from evospace.seeding import derive
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton, make_skeleton
from evospace.strategies.queues import default_rounds, shuffled
from evospace.strategies.space_evolution import EvolutionSettings, Problem, RoundResult, evolve, first_state
from evospace.supernet.fitness import PruneRule
from evospace.supernet.network import Network
from evospace.supernet.supernet import SuperNet
from evospace.training.supernet_trainer import (
    EpochReport,
    RoundTrainer,
    TrainSettings,
    inherit_weights,
    initialised_supernet,
)


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
            network.load_state_dict(load_file(self.weights))
        return network


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search returns."""

    run: Path
    front: tuple[FrontMember, ...]
    """Cheapest first, accuracy strictly rising."""


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
        self.summary["score_seconds"] = round(time.monotonic() - start, 2)
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
        config = self.config
        make = partial(SuperNet, self.skeleton, space, self.problem.classes)
        supernet = initialised_supernet(make, config.seed, round, self.device)
        if config.weights == "inherit" and round > 1:
            inherit_weights(supernet, load_file(self.run.checkpoint(round - 1)))
        trainer = RoundTrainer(
            settings=TrainSettings(
                epochs=config.epochs,
                batch_size=min(config.batch_size, len(self.splits.train)),
                lr=config.lr,
                train_gates=config.train_gates,
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
        state = trainer.run(trainer.start(supernet, space))
        alpha = state.fitness.alpha.detach().cpu()
        probabilities = state.fitness.probabilities(state.space)
        self.last = SupernetRound(
            space=state.space,
            probabilities=probabilities,
            fitness={pair: float(alpha[i]) for pair, i in state.fitness.index.items()},
            pruned=state.pruned,
            estimator=self._estimator(state.supernet, round),
            progress=self.progress,
            summary={
                "active": sum(map(len, space.candidates)),
                "pruned": len(state.pruned),
                "expected_cost": self.problem.table.expected(state.space, probabilities),
                "train_seconds": time.monotonic() - start,
            },
        )
        return self.last

    def _estimator(self, supernet: SuperNet, round: int) -> SharedWeights:
        config = self.config
        seed = derive(config.seed, "calibration", round)
        batches = self.splits.train.epoch(min(config.batch_size, len(self.splits.train)), seed=seed)
        calibration = [batch for _, batch in zip(range(config.calibration_batches), batches, strict=False)]
        return SharedWeights(supernet=supernet, calibration=calibration, scoring=self._scoring())

    def _scoring(self) -> Batches:
        return list(self.splits.scoring.epoch(512))

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

    def save_checkpoint(self, round: int) -> None:
        """Keep the round's supernet; the next rounds may inherit from it."""
        assert self.last is not None
        state = {k: v.contiguous() for k, v in self.last.estimator.supernet.state_dict().items()}
        replace_file(self.run.checkpoint(round), lambda temporary: save_file(state, temporary))

    def save_members(self, front: Sequence[Evaluation]) -> None:
        """Keep the supernet's weights of each architecture of the front, BatchNorm calibrated for it."""
        assert self.last is not None
        estimator = self.last.estimator
        for i, e in enumerate(front):
            estimator.supernet.calibrate(e.architecture, (images for images, _ in estimator.calibration))
            network = estimator.supernet.extract(e.architecture)
            state = {k: v.contiguous().cpu() for k, v in network.state_dict().items()}
            replace_file(self.run.member(i), lambda temporary, state=state: save_file(state, temporary))  # type: ignore[misc]


def search(config: SearchConfig | None = None, **settings: Any) -> SearchResult:
    """Run (or resume) a search. Give a `SearchConfig` or its fields as keywords.

    Raises `EvospaceError` subclasses for everything a user can mend.
    """
    config = config or SearchConfig(**settings)
    config.check_required()
    kinds = load_ops_file(Path(config.ops)) if config.ops else ()
    device = _device(config.device)
    budget = Budget.parse(config.budget)
    data = load_data(
        config.data,
        data_dir=Path(config.data_dir) if config.data_dir else None,
        image_size=config.image_size or None,
        seed=config.seed,
        device=device,
        workers=config.workers,
    )
    skeleton = make_skeleton(
        config.skeleton or None,
        image_size=data.image_size,
        image_channels=data.image_channels,
        activation=config.activation,
    )
    problem = make_problem(config, skeleton, kinds, budget, len(data.classes))
    out = Path(config.out or f"runs/{Path(config.data).name}-{time.strftime('%Y%m%d-%H%M%S')}")
    return _run(config, RunDirectory(out), data, skeleton, problem, device)


def make_problem(
    config: SearchConfig, skeleton: Skeleton, kinds: tuple[str, ...], budget: Budget, classes: int
) -> Problem:
    """The full space over the pool, and its cost tables."""
    specs = pool_with(config.pool, kinds)
    names = [(spec.with_se() if config.se else spec).name for spec in specs]
    full = SearchSpace.over(skeleton.blocks(), names, config.branches)
    return Problem(full=full, tables=cost_tables(skeleton, full, classes), budget=budget, classes=classes)


def _run(
    config: SearchConfig,
    run: RunDirectory,
    data: ImageData,
    skeleton: Skeleton,
    problem: Problem,
    device: str,
) -> SearchResult:
    planned = default_rounds(len(problem.full.candidates[0]), config.candidates)
    rounds = min(config.max_rounds or planned, planned)
    settings = EvolutionSettings(
        rounds=planned,
        stop_after=rounds,
        candidates=config.candidates,
        samples=config.samples,
        seed=config.seed,
    )
    run.open(config, data.fingerprint)
    states = run.database.states()
    state = states[-1] if states else first_state(shuffled(problem.full, config.seed))
    screen = console()
    progress = Progress(screen, rounds=rounds, epochs=config.epochs, done=state.round)
    with progress, SummaryWriter(run.path / "tensorboard") as board:
        _announce(progress, config, problem, skeleton, rounds)
        lab = SupernetLab(
            config=config,
            problem=problem,
            skeleton=skeleton,
            splits=hold_out(data, config.seed),
            device=device,
            run=run,
            progress=progress,
            board=board,
        )
        for result in evolve(problem, settings, lab, state):
            _finish_round(config, run, data, skeleton, problem, lab, result)
    members = run.database.states()[-1].front
    screen.print(front_table(members, f"Pareto front of {run.path}"))
    names = ("front.json", "fronts.png", "space.png", "run.db", "front/", "checkpoints/", "tensorboard/")
    screen.print("wrote " + ", ".join(str(run.path / name) for name in names), soft_wrap=True)
    return SearchResult(run=run.path, front=_members(run, members, skeleton, problem.classes))


def _announce(progress: Progress, config: SearchConfig, problem: Problem, skeleton: Skeleton, rounds: int) -> None:
    low, high = problem.table.bounds(problem.full)
    progress.line(
        f"{config.data}: {problem.classes} classes, {skeleton.image_size} pixels, skeleton {skeleton.name},"
        f" {len(problem.full.candidates)} blocks, pool of {len(problem.full.candidates[0])},"
        f" space 10^{problem.full.log10_size():.0f}, {rounds} rounds"
    )
    progress.line(f"budget {problem.budget}; the space reaches {low} to {high}")


def _finish_round(
    config: SearchConfig,
    run: RunDirectory,
    data: ImageData,
    skeleton: Skeleton,
    problem: Problem,
    lab: SupernetLab,
    result: RoundResult,
) -> None:
    """Checkpoint first, then the round in one transaction, then what can be drawn from it again."""
    assert lab.last is not None
    number = result.state.round
    front = result.state.front
    result.summary.update(
        lab.last.summary,
        round=number,
        hypervolume=result.hypervolume,
        rehearsed_hypervolume=result.rehearsed_hypervolume,
        front=len(front),
        best=front[-1].accuracy,
    )
    lab.save_checkpoint(number)
    lab.save_members(front)
    run.database.add(result)
    states = run.database.states()
    write_json(
        run.front,
        Front(
            budget=config.budget,
            data=config.data,
            class_names=data.classes,
            skeleton=skeleton,
            seed=config.seed,
            members=front,
        ).to_json(),
    )
    draw_fronts(run.path / "fronts.png", [s.front for s in states], problem.budget)
    names = problem.full.candidates[0]
    draw_space(run.path / "space.png", run.database.ledger(), names, len(problem.full.candidates))
    s = result.summary
    lab.board.add_scalar("round/hypervolume", result.hypervolume, number)
    lab.progress.line(
        f"round {number} done: front of {len(front)}, best {100 * s['best']:.2f} %,"
        f" hypervolume {result.hypervolume:.4f}, pruned {s['pruned']} of {s['active']},"
        f" train {s['train_seconds']:.1f} s, score {s['score_seconds']:.1f} s"
    )


def _members(
    run: RunDirectory, front: Sequence[Evaluation], skeleton: Skeleton, classes: int
) -> tuple[FrontMember, ...]:
    return tuple(
        FrontMember(
            architecture=e.architecture,
            accuracy=e.accuracy,
            macs=e.macs,
            params=e.params,
            round=e.round,
            skeleton=skeleton,
            classes=classes,
            weights=run.member(i),
        )
        for i, e in enumerate(front)
    )


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {name}: allowed are auto, cpu and, where PyTorch finds a GPU, cuda")
    return name
