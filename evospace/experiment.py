"""The composition root: puts data, space, costs, supernet, strategy and run directory together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.data import ImageData, hold_out, load_data, require_enough
from evospace.errors import UsageError, printable
from evospace.lab import SupernetLab
from evospace.ops.kinds import KINDS, gated
from evospace.ops.pools import pool_with
from evospace.ops.user import load_ops
from evospace.report.figures import draw_fronts, draw_space
from evospace.report.progress import Progress, console
from evospace.report.tables import front_table
from evospace.result import SearchResult, members_of
from evospace.runs.files import write_json, writing
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton, make_skeleton
from evospace.strategies.queues import default_rounds, require_reachable, shuffled
from evospace.strategies.space_evolution import (
    EvolutionSettings,
    EvolutionState,
    Problem,
    RoundResult,
    evolve,
    first_state,
)


def search(config: SearchConfig | None = None, **settings: Any) -> SearchResult:
    """Run (or resume) a search. Give a `SearchConfig`, its fields as keywords, or both (keywords win).

    Raises `EvospaceError` subclasses for everything a user can mend.
    """
    config = replace(config or SearchConfig(), **settings)
    return (_finished(config) if config.resume else None) or prepare(config).run()


def _finished(config: SearchConfig) -> SearchResult | None:
    """The result of a run that has nothing left to do; the data are not even opened."""
    run = RunDirectory(Path(config.out))
    if not (run.path / "config.yaml").exists():
        return None
    run.check_settings(config)
    run.check_contents(_sources(load_ops(config.ops)), operations=True)
    front = run.finished_front(config.max_rounds)
    if front is None:
        return None
    console().print(front_table(front.members, f"{run.path} is finished; its Pareto front"))
    return SearchResult(run=run.path, front=members_of(run, front))


def prepare(config: SearchConfig) -> "Experiment":
    """Load the data and lay out the space of a search; nothing is trained or written yet."""
    config.check_required()
    kinds = load_ops(config.ops)
    device, budget = _device(config.device), Budget.parse(config.budget)
    data = load_data(
        config.data,
        data_dir=Path(config.data_dir) if config.data_dir else None,
        image_size=config.image_size or None,
        seed=config.seed,
        device=device,
        workers=config.workers,
    )
    require_enough(data)
    skeleton = make_skeleton(
        config.skeleton or None,
        image_size=data.image_size,
        image_channels=data.image_channels,
        activation=config.activation,
    )
    problem = make_problem(config, skeleton, kinds, budget, len(data.classes))
    require_reachable(problem.full, problem.table, problem.budget)
    out = Path(config.out or f"runs/{printable(Path(config.data).resolve().name)}-{time.strftime('%Y%m%d-%H%M%S')}")
    return Experiment(
        config=config,
        data=data,
        skeleton=skeleton,
        problem=problem,
        directory=RunDirectory(out),
        device=device,
        kinds=kinds,
    )


def make_problem(
    config: SearchConfig, skeleton: Skeleton, kinds: tuple[str, ...], budget: Budget, classes: int
) -> Problem:
    """The full space over the pool, and its cost tables."""
    specs = pool_with(config.pool, kinds)
    names = list(dict.fromkeys((gated(spec) if config.se else spec).name for spec in specs))
    full = SearchSpace.over(skeleton.blocks(), names, config.branches)
    return Problem(full=full, tables=cost_tables(skeleton, full, classes), budget=budget, classes=classes)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One search with everything it needs."""

    config: SearchConfig
    data: ImageData
    skeleton: Skeleton
    problem: Problem
    directory: RunDirectory
    device: str
    kinds: tuple[str, ...] = ()
    """The user's own operation kinds in the pool."""

    @property
    def contents(self) -> dict[str, str]:
        """Tells whether a resumed run has the same data and the same source of the user's operations."""
        return {**self.data.contents, **_sources(self.kinds)}

    @property
    def settings(self) -> EvolutionSettings:
        """The method's own settings."""
        config = self.config
        return EvolutionSettings(
            stop_after=config.max_rounds,
            candidates=config.candidates,
            samples=config.samples,
            seed=config.seed,
        )

    def run(self) -> SearchResult:
        """Run the rounds that are left, then report the front."""
        self.directory.open(self.config, self.contents)
        devices = [torch.cuda.current_device()] if self.device == "cuda" else []
        with Signals() as signals, torch.random.fork_rng(devices=devices):
            screen = console()
            if recovered := self.directory.recover_database():
                screen.print(recovered, soft_wrap=True)
            states = self.directory.database.states()
            state = states[-1] if states else self._first_state()
            rounds = min(self.config.max_rounds or state.rounds, state.rounds)
            progress = Progress(screen, rounds=rounds, epochs=self.config.epochs, done=state.round)
            with progress, writing(self.directory.path), self._board(state.round) as board:
                self._announce(progress, rounds)
                lab = SupernetLab(
                    config=self.config,
                    problem=self.problem,
                    skeleton=self.skeleton,
                    splits=hold_out(self.data, self.config.seed),
                    device=self.device,
                    run=self.directory,
                    progress=progress,
                    board=board,
                    signals=signals,
                )
                for result in evolve(self.problem, self.settings, lab, state):
                    self._finish_round(lab, result)
                lab.checkpoints.clear()  # where a crash came between storing the last round and this
            front = self._publish(self.directory.database.states())
        screen.print(front_table(front.members, f"Pareto front of {self.directory.path}"))
        screen.print("wrote " + ", ".join(map(str, self.directory.contents())), soft_wrap=True)
        return SearchResult(run=self.directory.path, front=members_of(self.directory, front))

    def _first_state(self) -> EvolutionState:
        planned = default_rounds(len(self.problem.full.candidates[0]), self.config.candidates)
        return first_state(shuffled(self.problem.full, self.config.seed), planned)

    def _board(self, done: int) -> SummaryWriter:
        """TensorBoard's writer; what an ended run had drawn beyond its last finished round is drawn again."""
        return SummaryWriter(self.directory.path / "tensorboard", purge_step=done * self.config.epochs + 1)

    def _announce(self, progress: Progress, rounds: int) -> None:
        full, skeleton = self.problem.full, self.skeleton
        low, high = self.problem.table.bounds(full)
        progress.line(
            f"{self.config.data}: {self.problem.classes} classes, {skeleton.image_size} pixels,"
            f" skeleton {skeleton.name}, {len(full.candidates)} blocks, pool of {len(full.candidates[0])},"
            f" space 10^{full.log10_size():.0f}, {rounds} rounds"
        )
        progress.line(f"budget {self.problem.budget}; the space reaches {low} to {high}")

    def _finish_round(self, lab: SupernetLab, result: RoundResult) -> None:
        """Weights first, then the round in one transaction, then what can be drawn from it again."""
        number, front = result.state.round, result.state.front
        result.summary.update(
            lab.summary,
            round=number,
            hypervolume=result.hypervolume,
            rehearsed_hypervolume=result.rehearsed_hypervolume,
            front=len(front),
            best=front[-1].accuracy,
        )
        if result.failed:
            lab.progress.line(f"warning: {len(result.failed)} not scored (the first: {result.failed[0][1]})")
        lab.save(number, front)
        self.directory.database.add(result)
        lab.checkpoints.clear()
        self._publish(self.directory.database.states())
        lab.board.add_scalar("round/hypervolume", result.hypervolume, number)
        s = self.directory.database.summaries()[-1]
        lab.progress.line(
            f"round {number} done: front of {len(front)}, best {100 * s['best']:.2f} %,"
            f" hypervolume {result.hypervolume:.4f}, pruned {s['pruned']} of {s['active']},"
            f" train {s['train_seconds']:.1f} s, score {s['score_seconds']:.1f} s"
        )

    def _publish(self, states: Sequence[EvolutionState]) -> Front:
        """Write the pictures and `front.json`, all from what the database holds."""
        run, problem = self.directory, self.problem
        front = Front(
            budget=self.config.budget,
            data=self.config.data,
            class_names=self.data.classes,
            skeleton=self.skeleton,
            seed=self.config.seed,
            members=states[-1].front,
        )
        draw_fronts(run.path / "fronts.png", [s.front for s in states], problem.budget)
        names, blocks = problem.full.candidates[0], len(problem.full.candidates)
        draw_space(run.path / "space.png", run.database.ledger(), names, blocks)
        write_json(run.front, front.to_json())  # last: a run whose front is published has its pictures
        return front


def _sources(kinds: Sequence[str]) -> dict[str, str]:
    return {f"operation {kind}": str(KINDS[kind].source_sha256) for kind in kinds}


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {name}: allowed are auto, cpu and, where PyTorch finds a GPU, cuda")
    return name
