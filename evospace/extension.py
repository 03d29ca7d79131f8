"""A search goes on with operations that were not there when it began (docs/method.md, "Continuing")."""

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evospace.config import SearchConfig
from evospace.errors import DataError, DiskError, UsageError, reason
from evospace.experiment import TABLE, Experiment, prepare
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops
from evospace.reading import is_folder, is_there
from evospace.report.progress import console
from evospace.result import SearchResult
from evospace.runs.contents import compare_contents, read_contents
from evospace.runs.files import FULL, flush_folder, write_text
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import before_anything
from evospace.runs.stored_settings import read_config, search_again
from evospace.search_command import search
from evospace.settings_file import as_flags, completed, settings_from
from evospace.strategies.contract import SearchState
from evospace.strategies.nse import extended
from evospace.strategies.queues import shuffled

SAME = ("strategy", "budget", "seed", "skeleton", "branches", "image_size", "train_images", "activation", "se")
"""Settings that say what the inherited front is: an extension cannot change them. The data may be
named otherwise: what they hold is compared."""


def extension_defaults(run: Path) -> SearchConfig:
    """The settings that an extension of `run` begins from: the run's, less its operations and its end."""
    if is_folder(run) and next(run.glob("net-*"), None) and not is_there(run / "run.db"):  # a retraining
        raise UsageError(f"{run}: holds no search; give the run directory of a search")
    old = settings_from(SearchConfig, completed(SearchConfig, read_config(run)), f"{run / 'config.yaml'}")
    return replace(old, pool="", ops="", operations=0, out="", resume=False, max_rounds=0)


def extend(run: Path, config: SearchConfig) -> SearchResult:
    """Go on from the inherited space and front of `run`, which is only read, with more operations.

    Args:
        run: directory of a search with at least one finished round.
        config: settings of the extension (see `extension_defaults`). `pool` and `ops` name what is added, `out` the
            new run directory, `max_rounds` how many rounds to add at most; with `resume` an extension that was ended
            goes on.

    Raises:
        UsageError: nothing is added, a setting in `SAME` differs, or `run` or `out` cannot be used.
        DataError: the data are not those of `run`, or `run` is damaged.
    """
    old = RunDirectory(run)
    before = settings_from(SearchConfig, completed(SearchConfig, read_config(run)), f"{run / 'config.yaml'}")
    if not config.out or not (config.pool or config.ops):
        raise UsageError("an extension needs --out for the new run, and --pool or --ops with the operations to add")
    if config.operations:
        raise UsageError("--operations has no effect on an extension, which adds all that it names; filter the --pool")
    pairs = [(key, getattr(before, key), getattr(config, key)) for key in SAME]
    changed = [f"{key}: {was!r} -> {now!r}" for key, was, now in pairs if was != now]
    if changed:
        raise UsageError(f"an extension keeps what {run} was searched for ({'; '.join(changed)}); begin a new search")
    if before.strategy != "nse":
        raise UsageError(f"{run} was searched by --strategy {before.strategy}; only nse goes on with more operations")
    old.database.check()
    states = old.database.states()
    if not states:
        raise UsageError(f"{run} has no finished round yet; go on with it first: {search_again(run)}")
    whole = _whole_settings(before, config, states[-1])
    new = RunDirectory(Path(config.out))
    if not new.begun:
        added = pool_names(config.pool, load_ops(config.ops), se=config.se)
        with before_anything():
            experiment = prepare(replace(whole, resume=False))
        flags = as_flags(config.to_dict(), extension_defaults(run).to_dict(), ("out", "resume", "debug"))
        command = " ".join([f"evospace extend {shlex.quote(str(run.resolve()))}", *flags])
        _create(old, new, experiment, states[-1], added, command)
    elif not config.resume:
        raise UsageError(
            f"{new.path} is in use already; add --resume if the same command began it, or choose another --out"
        )
    return search(replace(whole, resume=True))


def _whole_settings(before: SearchConfig, config: SearchConfig, state: SearchState) -> SearchConfig:
    """The settings of the extended run as one search: old and new operations, rounds counted from its first."""
    pool, ops = (",".join(filter(None, texts)) for texts in ((before.pool, config.pool), (before.ops, config.ops)))
    rounds = state.round + config.max_rounds if config.max_rounds else 0
    return replace(config, pool=pool, ops=ops, max_rounds=rounds)


def _check_latencies(experiment: Experiment, state: SearchState) -> None:
    """Raise `DataError` where the latency table, which may know more operations by now, changed the front's costs."""
    table = experiment.problem.tables.get("latency")
    changed = [e for e in state.front if e.latency != (table.cost(e.architecture) if table else None)]
    if changed:
        raise DataError(
            "the inherited front has other latencies in --latency-table than in the run's own; use the run's table,"
            " with the new operations added by `evospace profile` to the same file"
        )


def _not_had(old: RunDirectory, state: SearchState, added: Sequence[str]) -> list[list[str]]:
    """By block, those of `added` that it has neither traversed nor waiting; raises `UsageError` for none at all."""
    known = {(row.block, row.operation) for row in old.database.ledger()}
    known |= {(block, name) for block, names in enumerate(state.waiting) for name in names}
    new = [[name for name in added if (block, name) not in known] for block in range(len(state.waiting))]
    if not any(new):
        raise UsageError(
            f"{old.path} has every operation of that pool already, traversed or waiting; name others,"
            f" or go on with what waits: {search_again(old.path)} --max-rounds N"
        )
    return new


def _create(
    old: RunDirectory,
    new: RunDirectory,
    experiment: Experiment,
    state: SearchState,
    added: Sequence[str],
    command: str,
) -> None:
    """Build the new run directory beside its place, then move it there: it is whole or it is not there.

    Every block gets those of the `added` operations that it has not had.
    """
    old.check_contents(experiment.contents, operations=False, but=(TABLE,))
    had = {key: text for key, text in read_contents(old.path).items() if key.startswith("operation ")}
    now = experiment.contents
    compare_contents(old.path, had, {key: now[key] for key in had if key in now})  # their costs and weights are kept
    kept = [old.checkpoint(state.round), *(old.member(state.round, i) for i in range(len(state.front)))]
    lost = [str(path.relative_to(old.path)) for path in kept if not path.exists()]
    if lost:
        raise DataError(f"{old.path} lacks the weights of its last round ({', '.join(lost)}); put them back")
    _check_latencies(experiment, state)
    queues = shuffled(_not_had(old, state, added), experiment.config.seed, state.round)
    if before := max(map(len, state.waiting)):
        console().print(
            f"up to {before} operations of a block wait since {old.path} and come before the new ones: with"
            " --max-rounds the search may end before these",
            soft_wrap=True,
        )
    try:
        if new.path.exists() and (not new.path.is_dir() or any(new.path.iterdir())):
            raise UsageError(f"{new.path} is not empty; choose another --out")
        new.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=new.path.parent, prefix=f".{new.path.name}.") as folder:
            made = RunDirectory(Path(folder) / "run")
            made.open(experiment.config, experiment.contents)
            old.database.copy_extended(made.path / "run.db", extended(state, queues, experiment.config.candidates))
            for path in kept:
                shutil.copyfile(path, made.path / path.relative_to(old.path))
            write_text(made.path / "extended-from.txt", f"{old.path.resolve()} after round {state.round}\n{command}\n")
            made.path.replace(new.path)
            flush_folder(new.path.parent)
    except OSError as error:
        kind = DiskError if error.errno in FULL else UsageError
        raise kind(
            f"--out {new.path}: cannot be written ({reason(error)}); nothing was made; choose another"
        ) from error
