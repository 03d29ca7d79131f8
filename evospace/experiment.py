"""The composition root: puts data, space, costs, supernet, strategy and run directory together."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig, load_config
from evospace.cost.latency_file import read_latency_table
from evospace.cost.latency_table import LatencyTable
from evospace.data import ImageData, hold_out, load_data, require_enough, with_train_images
from evospace.devices import device_of, rng_devices
from evospace.errors import BudgetError, CollapseError, UsageError, printable, unknown_name
from evospace.forecast import forecast, report_space
from evospace.lab import SupernetLab
from evospace.networks import origin_of
from evospace.ops.kinds import KINDS
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops
from evospace.problem import check_strategy, check_window, make_problem, require_possible
from evospace.profiling.measure import doubts, measure
from evospace.reading import is_file
from evospace.report.figures import draw_fronts, draw_space
from evospace.report.plan_lines import Forecast, SpaceReport, forecast_lines, outcome_line, space_lines
from evospace.report.progress import Progress, console
from evospace.report.tables import front_table
from evospace.result import SearchResult, members_of
from evospace.runs.checkpoints import TrainingCheckpoints
from evospace.runs.contents import where_they_lie_now
from evospace.runs.files import this_moment, write_json, writing
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals, before_anything
from evospace.space.skeleton import Skeleton, make_skeleton
from evospace.strategies.contract import Problem, RoundResult, RuleName, SearchState
from evospace.strategies.nse import first_state
from evospace.strategies.queues import shuffled
from evospace.strategies.strategy import STRATEGIES, Strategy
from evospace.workbench import Workbench

TABLE = "latency table"
"""Under this name a run's contents tell which latencies it was counted with."""

COUNTED_SILENTLY = 1000
"""More operations times block shapes, about ten seconds of counting, are announced to who waits for them."""


def search(config: SearchConfig | None = None, *, bare: bool = False, **settings: Any) -> SearchResult:
    """Run (or resume) a search. Give a `SearchConfig`, its fields as keywords, or both (keywords win).

    With `resume=True` and `out` alone a run goes on with the settings it has. `bare`: neither forecast nor pictures,
    which take longer than a small search; for studies, which have hundreds.

    Raises `EvospaceError` subclasses for everything a user can mend.
    """
    settings = {name: _plain(value) for name, value in settings.items()}
    known = {field.name for field in fields(SearchConfig)}
    if unknown := settings.keys() - known:
        raise unknown_name("setting", min(unknown), known)
    if not isinstance(config, SearchConfig | None):
        raise UsageError(f"search({config!r:.40}): give a SearchConfig, or settings by name, e.g. data='digits'")
    config = replace(config or _stored(**settings), **settings)
    config.check_required()
    with before_anything(resumed=config.resume):
        if config.resume and (done := _finished(config)):
            return done
        prepared = replace(prepare(config), bare=bare)
    return prepared.run()


def _plain(value: Any) -> Any:
    """A path as text, a number of NumPy as one of Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def _stored(*, out: Any = "", resume: Any = False, **_: Any) -> SearchConfig:
    """The settings of the run that is gone on with, or the default ones."""
    path = Path(out) / "config.yaml" if resume and out and isinstance(out, str) else None
    return load_config(path, begun=True) if path and is_file(path) else SearchConfig()


def _finished(config: SearchConfig) -> SearchResult | None:
    """The result of a run that has nothing left to do; the data are opened only where they lie elsewhere now."""
    run = RunDirectory(Path(config.out))
    if not run.begun or not origin_of(run).is_of(config.data):
        return None
    run.check_settings(config)
    run.check_contents(_sources(load_ops(config.ops)), operations=True)
    front = run.finished_front(config.max_rounds)
    if front is None:
        return None
    rounds = run.database.summaries()[-1]["round"]
    title = f"has had {rounds} rounds already" if 0 < config.max_rounds < rounds else "is finished"
    console().print(front_table(front.members, f"{run.path} {title}; its Pareto front", front.measured))
    return SearchResult(run=run.path, front=members_of(run, front))


def prepare(config: SearchConfig) -> "Experiment":
    """Load the data and lay out the space of a search; nothing is trained or written yet."""
    config.check_required()
    kinds = load_ops(config.ops)
    config.check_latency()
    device = device_of(config.device)
    with where_they_lie_now(config.out if config.resume else ""):
        data = load_data(
            config.data,
            data_dir=Path(config.data_dir) if config.data_dir else None,
            image_size=config.image_size or None,
            seed=config.seed,
            device=device,
            workers=config.workers,
        )
    if config.train_images:
        data = with_train_images(data, config.train_images, config.seed)
    require_enough(data)
    skeleton = make_skeleton(
        config.skeleton or None,
        image_size=data.image_size,
        image_channels=data.image_channels,
        activation=config.activation,
    )
    latency = read_latency_table(Path(config.latency_table)) if config.latency_table else None
    check_strategy(config)
    if not config.resume:
        check_window(config)
    operations, shapes = len(pool_names(config.pool, kinds, se=config.se)), len(set(skeleton.blocks()))
    if operations * shapes > COUNTED_SILENTLY:
        console(to_stderr=True).print(f"counting {operations} operations at {shapes} block shapes")
    problem = make_problem(config, skeleton, kinds, len(data.classes), latency)
    require_possible(problem)
    out = Path(config.out or f"runs/{printable(Path(config.data).resolve().name)}-{this_moment()}")
    return Experiment(
        config=config,
        data=data,
        skeleton=skeleton,
        problem=problem,
        directory=RunDirectory(out),
        device=device,
        kinds=kinds,
        latency=latency,
    )


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
    latency: LatencyTable | None = None
    """What a latency budget is counted with."""
    bare: bool = False
    """Neither forecast nor pictures."""

    @property
    def contents(self) -> dict[str, str]:
        """Tells whether a resumed run has the same data, latencies, and source of the user's operations."""
        contents = {**self.data.contents, **_sources(self.kinds)}
        if self.latency:  # what the search counts with: the table may know more operations by now
            table = self.problem.tables["latency"]
            used = [str(self.latency.setting), table.fixed, [dict(costs) for costs in table.ops]]
            contents[TABLE] = hashlib.sha256(json.dumps(used).encode()).hexdigest()
        return contents

    @cached_property
    def bench(self) -> Workbench:
        """What supernets are trained and scored on."""
        return Workbench(
            config=self.config,
            problem=self.problem,
            skeleton=self.skeleton,
            splits=hold_out(self.data, self.config.seed),
            device=self.device,
        )

    @cached_property
    def report(self) -> SpaceReport:
        """The full space beside the budget."""
        return report_space(self.problem, self.config.seed)

    @property
    def strategy(self) -> Strategy:
        """How to search."""
        return STRATEGIES[self.config.strategy]

    @property
    def rule(self) -> RuleName | None:
        """What most of the training is; `None` where no supernet is trained, and so there is nothing to forecast."""
        return self.strategy.rule(self.config)

    def forecast(self, state: SearchState, rounds: int, check: Callable[[], None] = lambda: None) -> Forecast:
        """What the `rounds` after `state` will take; see `evospace.forecast`."""
        assert self.rule is not None
        sizes = self.strategy.sizes(state, self.config)
        scores = [self.strategy.scores(self.config, i == len(sizes)) for i in range(1, len(sizes) + 1)]
        return forecast(self.bench, self.rule, sizes[:rounds], scores[:rounds], state.round, check)

    def run(self) -> SearchResult:
        """Run the rounds that are left, then report the front."""
        if not self.directory.begun:
            self.strategy.check(self.problem, self.config, self.first_state())
        self.directory.open(self.config, self.contents)
        alone = self.directory.alone(self.config)
        with alone, Signals() as signals, torch.random.fork_rng(devices=rng_devices(self.device)):
            screen = console()
            if recovered := self.directory.recover_database():
                screen.print(recovered, soft_wrap=True)
            states = self.directory.database.states()
            state = states[-1] if states else self.first_state()
            rounds = state.last(self.config.max_rounds)
            progress = Progress(screen, rounds=rounds, epochs=self.config.epochs, done=state.round)
            with progress, writing(self.directory.path), self._board(state.round) as board:
                lab = SupernetLab(bench=self.bench, run=self.directory, progress=progress, board=board, signals=signals)
                self._announce(lab, state, rounds)
                published: Front | None = None
                for result in self.strategy.search(self.problem, self.config, lab, state):
                    published = self._finish_round(lab, result)
                lab.clear()  # where a crash came between storing the last round and this
                front = self._measured(lab, published or self._publish(self.directory.database.states()))
        screen.print(front_table(front.members, f"Pareto front of {self.directory.path}", front.measured))
        if plan := self.directory.plan():
            screen.print(outcome_line(plan, self.directory.database.summaries()), soft_wrap=True)
        screen.print("wrote " + ", ".join(map(str, self.directory.contents())), soft_wrap=True)
        return SearchResult(run=self.directory.path, front=members_of(self.directory, front))

    def first_state(self) -> SearchState:
        """Nothing searched yet."""
        full = self.problem.full
        rounds = self.strategy.rounds(max(map(len, full.candidates)), self.config)
        return first_state(shuffled(full.candidates, self.config.seed), rounds)

    def _board(self, done: int) -> SummaryWriter:
        """TensorBoard's writer; what an ended run had drawn beyond what is stored of it is drawn again."""
        stored = TrainingCheckpoints(self.directory.path / "checkpoints", lambda _: None).epochs(done + 1)
        return SummaryWriter(self.directory.path / "tensorboard", purge_step=done * self.config.epochs + stored + 1)

    def announcement(self) -> Iterator[str]:
        """What is searched and on what, the space beside the budget, and what is doubtful about the latency table."""
        yield (
            f"{self.config.data}: {self.problem.classes} classes, {self.skeleton.image_size} pixels,"
            f" skeleton {self.skeleton.name}, {self.device}, strategy {self.config.strategy}"
        )
        yield from space_lines(self.problem, self.report)
        if self.latency:
            yield f"latency  {self.latency.setting}"
            for doubt in doubts(self.latency, self.config.latency_table, self.device):
                yield f"warning: {doubt}"

    def _announce(self, lab: SupernetLab, state: SearchState, rounds: int) -> None:
        """Before anything is trained; a run that was begun has its forecast already."""
        for line in self.announcement():
            lab.progress.line(line)
        if self.directory.plan() is None and state.round < rounds and self.rule and not self.bare:
            check = partial(lab.check_signals, "the steps that are timed for the forecast")
            try:
                found = self.forecast(state, rounds - state.round, check)
            except (BudgetError, CollapseError, UsageError) as error:  # later rounds are guessed
                lab.progress.line(f"warning: no forecast: {error}")
                return
            write_json(self.directory.plan_file, found.to_json())
            for line in forecast_lines(found):
                lab.progress.line(line)

    def _measured(self, lab: SupernetLab, front: Front) -> Front:
        """The front with every member measured end to end, where there is a latency table."""
        if self.latency is None:
            return front
        lab.progress.line("measuring the front")

        def on_pass(settled: int, total: int) -> None:
            lab.check_signals(f"measuring the front, {settled} of {total}")

        measured: tuple[int | None, ...]
        try:
            measured = tuple(measure(self.latency, [e.architecture for e in front.members], on_pass))
        except UsageError as error:
            lab.progress.line(f"warning: the front was not measured: {error}")
            measured = (None,) * len(front.members)
        front = replace(front, measured=measured)
        write_json(self.directory.front, front.to_json())
        return front

    def _finish_round(self, lab: SupernetLab, result: RoundResult) -> Front:
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
        if "rejected" in result.summary:
            lab.progress.line(f"{result.summary['rejected']} draws in the budget were rejected for its further limits")
        lab.save(number, front)
        self.directory.database.add(result)
        lab.clear()
        published = self._publish(self.directory.database.states())
        lab.board.add_scalar("round/hypervolume", result.hypervolume, number)
        s = self.directory.database.summaries()[-1]
        lab.progress.line(
            f"round {number} done: front of {len(front)}, best {100 * s['best']:.2f} %,"
            f" hypervolume {result.hypervolume:.4f}, pruned {s['pruned']} of {s['active']},"
            f" train {s['train_seconds']:.1f} s, score {s['score_seconds']:.1f} s"
        )
        return published

    def _publish(self, states: Sequence[SearchState]) -> Front:
        """Write the pictures and `front.json`, all from what the database holds."""
        run, problem = self.directory, self.problem
        front = Front(
            budget=self.config.budget,
            data=self.config.data,
            class_names=self.data.classes,
            skeleton=self.skeleton,
            seed=self.config.seed,
            mean=self.data.train.mean,
            std=self.data.train.std,
            members=states[-1].front,
            latency_of=str(self.latency.setting) if self.latency else "",
        )
        if not self.bare:
            draw_fronts(run.path / "fronts.png", [s.front for s in states], problem.budget)
            names, blocks = pool_names(self.config.pool, self.kinds, se=self.config.se), len(problem.full.candidates)
            draw_space(run.path / "space.png", run.database.ledger(), names, blocks)
        write_json(run.front, front.to_json())  # last: a run whose front is published has its pictures
        return front


def _sources(kinds: Sequence[str]) -> dict[str, str]:
    return {f"operation {kind}": str(KINDS[kind].source_sha256) for kind in kinds}
