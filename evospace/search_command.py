"""`evospace search`: from settings to the front, round by round."""

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from evospace.config import SearchConfig, load_config
from evospace.devices import rng_devices
from evospace.errors import BudgetError, CollapseError, DataError, UsageError, unknown_name
from evospace.experiment import Experiment, prepare
from evospace.lab import SupernetLab
from evospace.networks import origin_of
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops, sources_of
from evospace.profiling.measure import measure
from evospace.reading import is_file
from evospace.report.figures import draw_fronts, draw_space
from evospace.report.plan_lines import forecast_lines, outcome_line
from evospace.report.progress import Progress, console
from evospace.report.tables import front_table
from evospace.result import SearchResult, members_of
from evospace.runs.checkpoints import TrainingCheckpoints
from evospace.runs.files import write_json, writing
from evospace.runs.front import Front
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals, before_anything
from evospace.runs.stored_settings import search_again
from evospace.strategies.contract import Problem, RoundResult, SearchState
from evospace.strategies.ledger import pairs_of


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
        experiment = prepare(config)
    return run(experiment, bare=bare)


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
    directory = RunDirectory(Path(config.out))
    if not directory.begun or not origin_of(directory).is_of(config.data):
        return None
    directory.check_settings(config)
    directory.check_contents(sources_of(load_ops(config.ops)), operations=True)
    front = directory.finished_front(config.max_rounds)
    if front is None:
        return None
    rounds = directory.database.summaries()[-1]["round"]
    title = f"has had {rounds} rounds already" if 0 < config.max_rounds < rounds else "is finished"
    console().print(front_table(front.members, f"{directory.path} {title}; its Pareto front", front.measured))
    return SearchResult(run=directory.path, front=members_of(directory, front))


def run(experiment: Experiment, *, bare: bool = False) -> SearchResult:
    """Run the rounds that are left, then report the front. `bare`: see `search`."""
    config, directory, strategy = experiment.config, experiment.directory, experiment.strategy
    if not directory.begun:
        strategy.check(experiment.problem, config, experiment.first_state())
    directory.open(config, experiment.contents)
    alone = directory.alone(config)
    with alone, Signals() as signals, torch.random.fork_rng(devices=rng_devices(experiment.device)):
        screen = console()
        if recovered := directory.recover_database():
            screen.print(recovered, soft_wrap=True)
        states = directory.database.states()
        _require_own(directory, experiment.problem, states)
        state = states[-1] if states else experiment.first_state()
        rounds = state.last(config.max_rounds)
        progress = Progress(screen, rounds=rounds, epochs=config.epochs, done=state.round)
        with progress, writing(directory.path), _board(directory, config.epochs, state.round) as board:
            lab = SupernetLab(bench=experiment.bench, run=directory, progress=progress, board=board, signals=signals)
            _announce(experiment, lab, state, rounds, bare=bare)
            published: Front | None = None
            for result in strategy.search(experiment.problem, config, lab, state):
                published = _finish_round(experiment, lab, result, bare=bare)
            lab.clear()  # where a crash came between storing the last round and this
            front = _measured(experiment, lab, published or _publish(experiment, bare=bare))
    screen.print(front_table(front.members, f"Pareto front of {directory.path}", front.measured))
    if waiting := sum(map(len, directory.database.states()[-1].waiting)):
        screen.print(
            f"{waiting} pairs of a block and an operation were not tried yet; go on with:"
            f" {search_again(directory.path)} --max-rounds N",
            soft_wrap=True,
        )
    if plan := directory.plan():
        screen.print(outcome_line(plan, directory.database.summaries()), soft_wrap=True)
    screen.print("wrote " + ", ".join(map(str, directory.contents())), soft_wrap=True)
    return SearchResult(run=directory.path, front=members_of(directory, front))


def _require_own(directory: RunDirectory, problem: Problem, states: Sequence[SearchState]) -> None:
    """Raise `DataError` where the rounds in `run.db` are of a search for other operations or another budget."""
    full, high = problem.full, problem.budget.high
    for state in states:
        blocks = list(zip(full.candidates, state.inherited, state.waiting, strict=False))
        own = len(state.inherited) == len(full.candidates)
        own = own and all({*inherited, *waiting} <= {*names} for names, inherited, waiting in blocks)
        own = own and all(e.architecture in full and problem.table.cost(e.architecture) <= high for e in state.front)
        if not own:
            raise DataError(f"{directory.path / 'run.db'}: is of another search; put back that of this run")


def _board(directory: RunDirectory, epochs: int, done: int) -> SummaryWriter:
    """TensorBoard's writer; what an ended run had drawn beyond what is stored of it is drawn again."""
    stored = TrainingCheckpoints(directory.path / "checkpoints", lambda _: None).epochs(done + 1)
    return SummaryWriter(directory.path / "tensorboard", purge_step=done * epochs + stored + 1)


def _announce(experiment: Experiment, lab: SupernetLab, state: SearchState, rounds: int, *, bare: bool) -> None:
    """Before anything is trained; a run that was begun has its forecast already, unless it is given further rounds."""
    for line in experiment.announcement(state):
        lab.progress.line(line)
    plan = experiment.directory.plan()
    foreseen = plan is not None and state.round < plan["first_round"] + plan["rounds"] - 1
    if not foreseen and state.round < rounds and experiment.rule and not bare:
        check = partial(lab.check_signals, "the steps that are timed for the forecast")
        try:
            found = experiment.forecast(state, rounds - state.round, check)
        except (BudgetError, CollapseError, UsageError) as error:  # later rounds are guessed
            lab.progress.line(f"warning: no forecast: {error}")
            return
        write_json(experiment.directory.plan_file, found.to_json())
        for line in forecast_lines(found):
            lab.progress.line(line)


def _measured(experiment: Experiment, lab: SupernetLab, front: Front) -> Front:
    """The front with every member measured end to end, where there is a latency table."""
    if experiment.latency is None:
        return front
    lab.progress.line("measuring the front")

    def on_pass(settled: int, total: int) -> None:
        lab.check_signals(f"measuring the front, {settled} of {total}")

    measured: tuple[int | None, ...]
    try:
        networks = [e.architecture for e in front.members]
        measured = tuple(measure(experiment.latency, networks, lab.progress.line, on_pass))
    except UsageError as error:
        lab.progress.line(f"warning: the front was not measured: {error}")
        measured = (None,) * len(front.members)
    front = replace(front, measured=measured)
    write_json(experiment.directory.front, front.to_json())
    return front


def _finish_round(experiment: Experiment, lab: SupernetLab, result: RoundResult, *, bare: bool) -> Front:
    """Weights first, then the round in one transaction, then what can be drawn from it again."""
    number, front = result.state.round, result.state.front
    summary = {
        **result.summary,
        **lab.summary,
        "round": number,
        "hypervolume": result.hypervolume,
        "rehearsed_hypervolume": result.rehearsed_hypervolume,
        "pruned": sum(row.outcome == "pruned" for row in result.ledger),
        "front": len(front),
        "best": front[-1].accuracy,
    }
    if result.failed:
        lab.progress.line(f"warning: {len(result.failed)} not scored (the first: {result.failed[0][1]})")
    if "rejected" in result.summary:
        lab.progress.line(f"{result.summary['rejected']} draws in the budget were rejected for its further limits")
    lab.save(number, front)
    experiment.directory.database.add(replace(result, summary=summary))
    lab.clear()
    published = _publish(experiment, bare=bare)
    lab.board.add_scalar("round/hypervolume", result.hypervolume, number)
    s = experiment.directory.database.summaries()[-1]
    lab.progress.line(
        f"round {number} done: front of {len(front)}, best {100 * s['best']:.2f} %,"
        f" hypervolume {result.hypervolume:.4f}, pruned {s['pruned']} of {s['active']},"
        f" train {s['train_seconds']:.1f} s, score {s['score_seconds']:.1f} s"
    )
    return published


def _publish(experiment: Experiment, *, bare: bool) -> Front:
    """Write the pictures and `front.json`, all from what the database holds."""
    config, data, problem, directory = experiment.config, experiment.data, experiment.problem, experiment.directory
    states = directory.database.states()
    front = Front(
        budget=config.budget,
        data=config.data,
        class_names=data.classes,
        skeleton=experiment.skeleton,
        seed=config.seed,
        mean=data.train.mean,
        std=data.train.std,
        members=states[-1].front,
        latency_of=str(experiment.latency.setting) if experiment.latency else "",
        origin=origin_of(directory),
    )
    if not bare:
        draw_fronts(directory.path / "fronts.png", [s.front for s in states], problem.budget)
        names, ledger = pool_names(config.pool, experiment.kinds, se=config.se), directory.database.ledger()
        held = pairs_of(ledger, states[-1].waiting, states[-1].inherited)
        draw_space(directory.path / "space.png", ledger, names, held, len(problem.full.candidates))
    write_json(directory.front, front.to_json())  # last: a run whose front is published has its pictures
    return front
