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
from evospace.data import ImageData, hold_out, load_data
from evospace.errors import UsageError
from evospace.lab import SupernetLab
from evospace.ops.kinds import KINDS, gated
from evospace.ops.pools import pool_with
from evospace.ops.user import load_ops_file
from evospace.report.figures import draw_fronts, draw_space
from evospace.report.progress import Progress, console
from evospace.report.tables import front_table
from evospace.result import FrontMember, SearchResult
from evospace.runs.files import write_json
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
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
    return prepare(replace(config or SearchConfig(), **settings)).run()


def prepare(config: SearchConfig) -> "Experiment":
    """Load the data and lay out the space of a search; nothing is trained or written yet."""
    config.check_required()
    kinds = load_ops_file(Path(config.ops)) if config.ops else ()
    device, budget = _device(config.device), Budget.parse(config.budget)
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
    require_reachable(problem.full, problem.table, problem.budget)
    out = Path(config.out or f"runs/{Path(config.data).resolve().name}-{time.strftime('%Y%m%d-%H%M%S')}")
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
    def fingerprint(self) -> str:
        """Tells whether a resumed run has the same data and the same source of the user's operations."""
        return "+".join([self.data.fingerprint, *sorted({str(KINDS[kind].source_sha256) for kind in self.kinds})])

    @property
    def settings(self) -> EvolutionSettings:
        """The method's own settings."""
        config = self.config
        planned = default_rounds(len(self.problem.full.candidates[0]), config.candidates)
        return EvolutionSettings(
            rounds=planned,
            stop_after=min(config.max_rounds or planned, planned),
            candidates=config.candidates,
            samples=config.samples,
            seed=config.seed,
        )

    def run(self) -> SearchResult:
        """Run the rounds that are left, then report the front."""
        self.directory.open(self.config, self.fingerprint)
        states = self.directory.database.states()
        state = states[-1] if states else first_state(shuffled(self.problem.full, self.config.seed))
        screen, rounds = console(), self.settings.stop_after
        progress = Progress(screen, rounds=rounds, epochs=self.config.epochs, done=state.round)
        with progress, SummaryWriter(self.directory.path / "tensorboard") as board:
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
            )
            for result in evolve(self.problem, self.settings, lab, state):
                self._finish_round(lab, result)
        states = self.directory.database.states()
        self._publish(states)
        screen.print(front_table(states[-1].front, f"Pareto front of {self.directory.path}"))
        screen.print("wrote " + ", ".join(map(str, self.directory.contents())), soft_wrap=True)
        return SearchResult(run=self.directory.path, front=self._members(states[-1]))

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
        lab.save(number, front)
        self.directory.database.add(result)
        self._publish(self.directory.database.states())
        lab.board.add_scalar("round/hypervolume", result.hypervolume, number)
        s = result.summary
        lab.progress.line(
            f"round {number} done: front of {len(front)}, best {100 * s['best']:.2f} %,"
            f" hypervolume {result.hypervolume:.4f}, pruned {s['pruned']} of {s['active']},"
            f" train {s['train_seconds']:.1f} s, score {s['score_seconds']:.1f} s"
        )

    def _publish(self, states: Sequence[EvolutionState]) -> None:
        """Write `front.json` and the pictures, all from what the database holds."""
        run, problem = self.directory, self.problem
        front = Front(
            budget=self.config.budget,
            data=self.config.data,
            class_names=self.data.classes,
            skeleton=self.skeleton,
            seed=self.config.seed,
            members=states[-1].front,
        )
        write_json(run.front, front.to_json())
        draw_fronts(run.path / "fronts.png", [s.front for s in states], problem.budget)
        names, blocks = problem.full.candidates[0], len(problem.full.candidates)
        draw_space(run.path / "space.png", run.database.ledger(), names, blocks)

    def _members(self, state: EvolutionState) -> tuple[FrontMember, ...]:
        return tuple(
            FrontMember(
                architecture=e.architecture,
                accuracy=e.accuracy,
                macs=e.macs,
                params=e.params,
                round=e.round,
                skeleton=self.skeleton,
                classes=self.problem.classes,
                weights=self.directory.member(state.round, i),
            )
            for i, e in enumerate(state.front)
        )


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {name}: allowed are auto, cpu and, where PyTorch finds a GPU, cuda")
    return name
