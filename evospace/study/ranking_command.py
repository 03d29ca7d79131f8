"""Retrains networks spread over the scores of a run, and tells how well those rank them."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from evospace.config import SearchConfig, load_config
from evospace.errors import EvospaceError, UsageError
from evospace.estimation.evaluation import Evaluation
from evospace.experiment import TABLE, load_images
from evospace.ops.user import load_ops
from evospace.reading import is_file, read_yaml
from evospace.report.plan_lines import duration
from evospace.retraining.config import recipe_alone
from evospace.runs.files import write_json, write_text
from evospace.runs.front import Front
from evospace.runs.processes import alone_in
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.runs.stored_settings import search_again
from evospace.settings_file import changed_settings
from evospace.space.architecture import Architecture
from evospace.study.directory import drop_large
from evospace.study.jobs import do_jobs
from evospace.study.ranking import FEWEST, Scored, correlations, in_budget, spread_evenly
from evospace.study.retrained import is_result, read_object, retrained_and_tested
from evospace.study.settings import RANKING_FREE, RankingSettings

FORMAT = 1


def rank(settings: RankingSettings, say: Callable[[str], None] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Do what is left; write `RUN/ranking.json` and `RUN/ranking.png` after every network.

    Returns an object for a program and lines for a person. Raises `UsageError` for a run that is not finished, other
    settings than the ranking in it was begun with, or trainings that ended without a result.
    """
    say = say or (lambda text: None if settings.json else print(text, flush=True))
    run = RunDirectory(Path(settings.run))
    stored = _searched_with(run, settings.ops)
    recipe_alone(settings.recipe)
    front, round, scored = _last_round(run, stored.max_rounds)
    chosen = spread_evenly(scored, settings.networks)
    settings = replace(settings, data_dir=settings.data_dir or stored.data_dir)
    _require_same_images(run, stored, settings)
    root = run.path / "ranking"
    _open(root, settings)
    about = {"run": str(run.path), "round": round, "scored": len(scored), "settings": settings.to_dict()}
    left = _left(root, chosen)
    say(f"{len(chosen)} networks of {len(scored)} in the budget, {len(left)} to train")
    if len(chosen) < FEWEST:
        say(f"warning: fewer than {FEWEST} networks have no correlation; give more --networks, now or later")

    def publish() -> dict[str, Any]:
        return _publish(run.path, about, _entries(root, chosen), settings.seed)

    def told(key: str) -> str:
        path = root / key / "entry.json"
        if not path.exists():
            return ""
        publish()
        return _entry_told(key, read_object(path))

    if len(left) < len(chosen):
        publish()  # whatever becomes of the others: the run may have gone on, and its scores are others
    again = f"evospace study ranking {shlex.quote(settings.run)}, with the same flags"
    do_jobs(
        {s.key: _Train(settings, front, s, stored.flip) for s in left},
        told,
        say,
        folder=root,
        jobs=settings.jobs,
        minutes=settings.minutes,
        module="evospace.study.ranking_command",
        what="the ranking",
        noun="training",
        again=again,
    )
    found = publish()
    return found, _summary(run.path, found, len(chosen), again)


def _left(root: Path, chosen: Sequence[Scored]) -> list[Scored]:
    """Those to train; of the finished ones, weights that an ended call left behind are removed."""
    left = [s for s in chosen if not (root / s.key / "entry.json").exists()]
    for finished in (s for s in chosen if s not in left):
        drop_large(root / finished.key)
    return left


def _summary(run: Path, found: dict[str, Any], chosen: int, again: str) -> list[str]:
    """The correlations so far, where they are written, and what is left of the `chosen`, for a person."""
    lines = [*_told(found), f"wrote {run / 'ranking.json'} and {run / 'ranking.png'}"]
    if (done := len(found["networks"])) < chosen:
        lines.append(f"{done} of {chosen} networks are done; go on with: {again}")
    return lines


def _searched_with(run: RunDirectory, ops: str) -> SearchConfig:
    """The settings of a search, the user's operations in `ops` loaded.

    Raises `UsageError` for a folder of something else, and where the search had operations and none are given.
    """
    if not is_file(run.path / "run.db"):
        raise UsageError(f"{run.path}: holds no search; give the run directory of a search")
    stored = load_config(run.path / "config.yaml", begun=True)
    if stored.ops and not ops:
        raise UsageError(
            f"{run.path}: searched with operations of your own ({stored.ops}); give their files with --ops"
        )
    load_ops(ops)
    return stored


def _require_same_images(run: RunDirectory, stored: SearchConfig, settings: RankingSettings) -> None:
    """Raise `DataError` where the images are not there, or not divided as the search had them: others were its test."""
    config = replace(stored, data_dir=settings.data_dir, out=str(run.path), resume=True)
    run.check_contents(load_images(config, "cpu").contents, operations=False, but=(TABLE,))


def _last_round(run: RunDirectory, max_rounds: int) -> tuple[Front, int, list[Scored]]:
    """Front, number and networks in the budget of a run's last round; raises `UsageError` where that is to come."""
    front = run.finished_front(max_rounds)
    if front is None:
        raise UsageError(f"{run.path}: not finished; go on with: {search_again(run.path)}")
    last = run.database.states()[-1].round
    return front, last, in_budget(run.database.evaluations(last), front.budget)


def _open(root: Path, settings: RankingSettings) -> None:
    """Store the settings, or raise `UsageError` where the ranking was begun with others."""
    path = root / "ranking.yaml"
    if path.exists():
        try:
            old = read_yaml(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({error}); remove {root}, and the ranking begins anew") from error
        old = old if isinstance(old, dict) else {}
        changed = changed_settings(RankingSettings, old, settings.to_dict(), RANKING_FREE)
        if changed:
            text = f"{root} was begun with other settings ({'; '.join(changed)})"
            raise UsageError(f"{text}; use those, or remove it to begin anew")
        return
    try:
        root.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{root}: cannot be made ({error.strerror}); rank a run that can be written to") from error
    write_text(path, yaml.safe_dump(settings.to_dict(), sort_keys=False))


@dataclass(frozen=True)
class _Train:
    """Trains one network, tests it once, and stores what that came to as `entry.json`."""

    settings: RankingSettings
    front: Front
    """Of the run: the skeleton, the images, and the seed that divides them."""
    scored: Scored
    flip: bool
    """Whether the search mirrored its images."""

    def __call__(self, folder: Path, signals: Signals) -> None:
        settings, scored = self.settings, self.scored
        if (folder / "entry.json").exists():  # another process has done it
            return
        load_ops(settings.ops)
        torch.set_num_threads(settings.threads)
        architecture = json.loads(scored.architecture)
        member = Evaluation(
            architecture=Architecture.from_json(architecture),
            accuracy=scored.score,
            macs=scored.macs,
            params=scored.params,
            round=1,
        )
        write_json(folder / "front.json", replace(self.front, members=(member,), measured=None).to_json())
        recipe = recipe_alone(settings.recipe)
        config = replace(
            recipe,
            flip=recipe.flip and self.flip,
            network=f"{folder / 'front.json'}#0",
            data_dir=settings.data_dir,
            ops=settings.ops,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            seed=settings.seed,
            threads=settings.threads,
            device=settings.device,
            out=str(folder / "retrained"),
        )
        entry: dict[str, Any] = {"key": scored.key, "score": scored.score, "architecture": architecture}
        try:
            entry |= retrained_and_tested(config)
        except EvospaceError as error:
            if not is_result(error, alone=settings.jobs == 1 and alone_in(folder)):
                raise
            entry["failure"] = str(error)
        write_json(folder / "entry.json", entry)
        drop_large(folder)


def _entries(root: Path, chosen: Sequence[Scored]) -> list[dict[str, Any]]:
    """What is finished, with the score of the run's last round: the run may have gone on since."""
    paths = {root / scored.key / "entry.json": scored.score for scored in chosen}
    return [read_object(path) | {"score": score} for path, score in paths.items() if path.exists()]


def _publish(path: Path, about: dict[str, Any], entries: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    from evospace.study.figures import draw_ranking  # loads matplotlib

    tested = [entry for entry in entries if "top1" in entry]
    pairs = [[entry[name] for entry in tested] for name in ("score", "top1")]
    found = {"format": FORMAT, **about, **correlations(pairs[0], pairs[1], seed), "networks": list(entries)}
    write_json(path / "ranking.json", found)
    draw_ranking(path / "ranking.png", pairs[0], pairs[1], "\n".join(_told(found)))
    return found


def _entry_told(key: str, entry: dict[str, Any]) -> str:
    """What became of a network, for a person."""
    text = entry.get("failure") or f"{100 * entry['top1']:.2f} % in {duration(entry['retrain_seconds'])}"
    return f"{key}: score {100 * entry['score']:.2f} %, tested {text}"


def _told(found: dict[str, Any]) -> list[str]:
    """The correlations, for a person."""
    failures = sum("failure" in entry for entry in found["networks"])
    lines = [f"{len(found['networks']) - failures} networks retrained and tested, {failures} failed"]
    for name, title in (("kendall", "Kendall's tau"), ("spearman", "Spearman's rho")):
        c = found[name]
        few = len(found["networks"]) - failures < FEWEST
        text = f"not defined: fewer than {FEWEST} networks" if few else "not defined: all are equal"
        if c:
            ends = "not known: ties" if c["low"] is None else f"{c['low']:.2f} to {c['high']:.2f}"
            text = f"{c['value']:.2f}, 95 % interval {ends}"
        lines.append(f"{title} {text}")
    return lines
