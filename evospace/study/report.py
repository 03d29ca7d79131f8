"""What a study has come to so far: means and spreads over seeds, as a table, JSON, Markdown and a picture."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from evospace.errors import DataError
from evospace.report.tables import short
from evospace.runs.files import write_json, write_text
from evospace.study.database import Finished
from evospace.study.directory import StudyDirectory
from evospace.study.paired import Difference, Effect, difference, effects, of_whole_seeds
from evospace.study.plan import BASE, COMPARED, VARIANTS
from evospace.study.settings import again

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All seeds of one method at one size and one length."""

    method: str
    operations: int
    length: int
    seeds: int
    """With a result."""
    failures: tuple[str, ...]
    """Why the others failed, by key."""
    accuracy: float | None
    """Mean of the tested top-1, per cent."""
    spread: float | None
    """Its standard deviation over seeds; `None` for fewer than two."""
    score: float | None
    """Mean of the search's own score of the networks that were retrained, per cent."""
    score_spread: float | None
    """Its standard deviation over seeds; `None` for fewer than two."""
    images: float | None
    """Mean number of training images that the supernets saw."""
    scored: float | None
    """Mean number of networks that the searches scored."""
    search_seconds: float | None
    """Mean of training the supernet and scoring."""
    retrain_seconds: float | None
    peak_mib: float | None
    """Largest peak of memory of a job (of the GPU, where there is one)."""
    difference: Difference | None = None
    """To the base of an ablation; `None` elsewhere, and where no seed has both."""


def summaries(found: Iterable[Finished], order: Sequence[str], base: str = "") -> list[Summary]:
    """By length, operations and method, methods as in `order`; differences to the method `base`, where it is given."""
    groups = dict[tuple[int, int, str], list[Finished]]()
    for job in found:
        groups.setdefault((job.length, job.operations, job.variant), []).append(job)
    places = {name: i for i, name in enumerate(order)}
    keys = sorted(groups, key=lambda key: (key[0], key[1], places.get(key[2], len(places)), key[2]))
    return [_summary(groups[key], groups.get((key[0], key[1], base), [])) for key in keys]


def _summary(jobs: Sequence[Finished], base: Sequence[Finished]) -> Summary:
    jobs = sorted(jobs, key=lambda job: job.seed)
    done = [job.result for job in jobs if job.result is not None]
    accuracies = [100 * result["top1"] for result in done]
    scores = [100 * result["score"] for result in done]

    def mean(*names: str) -> float | None:
        return statistics.fmean(sum(result[name] for name in names) for result in done) if done else None

    peaks = [result["peak_gpu_bytes"] or result["peak_bytes"] for result in done]
    return Summary(
        method=jobs[0].variant,
        operations=jobs[0].operations,
        length=jobs[0].length,
        seeds=len(done),
        failures=tuple(f"{job.key}: {job.failure}" for job in jobs if job.result is None),
        accuracy=statistics.fmean(accuracies) if done else None,
        spread=statistics.stdev(accuracies) if len(done) > 1 else None,
        score=statistics.fmean(scores) if done else None,
        score_spread=statistics.stdev(scores) if len(done) > 1 else None,
        images=mean("images"),
        scored=mean("scored"),
        search_seconds=mean("train_seconds", "score_seconds"),
        retrain_seconds=mean("retrain_seconds"),
        peak_mib=max(peaks) / 2**20 if peaks else None,
        difference=_difference(jobs, base) if base and jobs[0].variant != base[0].variant else None,
    )


def _difference(jobs: Sequence[Finished], base: Sequence[Finished]) -> Difference | None:
    """Of the seeds that both have a result for."""
    other = {job.seed: job.result["top1"] for job in base if job.result is not None}
    pairs = [(job.result["top1"], other[job.seed]) for job in jobs if job.result is not None and job.seed in other]
    return difference([100 * (mine - base) for mine, base in pairs])


def write_study_report(path: Path) -> tuple[dict[str, Any], list[Table], list[str]]:
    """Write `results.json`, `table.md` and the pictures of a study; returns an object, tables, and lines for a person.

    Raises `UsageError` where `path` holds no study, and `DataError` where none of its jobs is finished.
    """
    from evospace.study.figures import draw_ablation, draw_effects, draw_space_size  # loads matplotlib

    study = StudyDirectory(path)
    settings = study.require()
    finished = study.database.finished()
    if not finished:
        raise DataError(f"{path}: no job is finished; go on with: {again(settings.kind, path)}")
    ablation = settings.kind == "ablation"
    rows = summaries(finished.values(), list(VARIANTS if ablation else COMPARED), BASE if ablation else "")
    of_size = [] if ablation else effects(finished.values(), list(COMPARED))
    found = {
        "format": FORMAT,
        "kind": settings.kind,
        "settings": settings.to_dict(),
        "summaries": [asdict(row) for row in rows],
        "effects": [asdict(effect) for effect in of_size],
        "jobs": {key: {"result": job.result, "failure": job.failure} for key, job in finished.items()},
    }
    write_json(path / "results.json", found)
    titled = {"Tested top-1 over seeds": texts_of(rows)}
    if of_size:
        titled["What the largest space does, beside the smallest"] = texts_of_effects(of_size)
    write_text(path / "table.md", "\n".join(markdown(*texts) for texts in titled.values()))
    wrote = ["results.json", "table.md"]
    if ablation:
        draw_ablation(path / "ablation.png", rows)
        wrote.append("ablation.png")
    elif whole := summaries(of_whole_seeds(finished.values()), list(COMPARED)):  # not where every job has failed
        draw_space_size(path / "space_size.png", whole)
        wrote.append("space_size.png")
    if any(effect.growth or effect.behind for effect in of_size):
        draw_effects(path / "effects.png", of_size)
        wrote.append("effects.png")
    failures = [f"failed: {text}" for row in rows for text in row.failures]
    legend = [LEGEND, *([LEGEND_OF_DIFFERENCES] if any(row.difference for row in rows) else [])]
    legend += [LEGEND_OF_EFFECTS] if of_size else []
    tables = [study_table(title, *texts) for title, texts in titled.items()]
    return found, tables, [*legend, *failures, f"wrote {', '.join(str(path / name) for name in wrote)}"]


LEGEND = (
    "top-1 and sd over n seeds in %; images of supernet training; networks scored; search and retrain in seconds; x:"
    " training length"
)
LEGEND_OF_EFFECTS = (
    "growth: top-1 in the largest space less that in the smallest, in points, paired by seed, with its 95 % interval;"
    " ahead: nse's top-1 less the method's, mean over sizes, of the seeds that have all; there: the same in the largest"
    " space alone; score: the growth of the score under shared weights; x all: the mean over the lengths, of the seeds"
    " that have every one"
)
LEGEND_OF_DIFFERENCES = "diff: mean difference to base in points, paired by seed, with its 95 % interval"


Texts = tuple[list[str], list[list[str]]]
"""Columns, and the rows' cells."""


def _columns(rows: Sequence[Summary]) -> list[str]:
    """An ablation's rows are all of one size."""
    ablation = any(row.difference for row in rows)
    middle = ["x", "n", "top-1", "sd", "diff", "+-"] if ablation else ["ops", "x", "n", "top-1", "sd"]
    return ["method", *middle, "images", "scored", "search", "retrain", "MiB", "fail"]


def cells(row: Summary, columns: Sequence[str]) -> list[str]:
    """The texts of a row; empty where there is nothing to tell."""
    d = row.difference
    texts: Mapping[str, str] = {
        "method": row.method,
        "ops": str(row.operations),
        "x": str(row.length),
        "n": str(row.seeds),
        "top-1": _number(row.accuracy, ".2f"),
        "sd": _number(row.spread, ".2f"),
        "diff": _number(d.mean if d else None, "+.2f"),
        "+-": _number(d.half_width if d else None, ".2f"),
        "images": "" if row.images is None else short(row.images),
        "scored": _number(row.scored, ".0f"),
        "search": _number(row.search_seconds, ".1f"),
        "retrain": _number(row.retrain_seconds, ".1f"),
        "MiB": _number(row.peak_mib, ".0f"),
        "fail": str(len(row.failures)),
    }
    return [texts[column] for column in columns]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def texts_of(rows: Sequence[Summary]) -> Texts:
    """A row for each method, size and length."""
    columns = _columns(rows)
    return columns, [cells(row, columns) for row in rows]


def texts_of_effects(found: Sequence[Effect]) -> Texts:
    """A row for each method and length, and for all lengths together."""
    texts = []
    for effect in found:
        cells = []
        for d in (effect.growth, effect.behind, effect.behind_in_largest):
            cells += [*_interval(d, ".2f"), str(len(d.values)) if d else ""]
        length = "all" if effect.length is None else str(effect.length)
        texts.append([effect.method, length, *cells, *_interval(effect.score_growth, ".1f")])
    return ["method", "x", "growth", "+-", "n", "ahead", "+-", "n", "there", "+-", "n", "score", "+-"], texts


def _interval(of: Difference | None, form: str) -> tuple[str, str]:
    return _number(of.mean if of else None, f"+{form}"), _number(of.half_width if of else None, form)


def study_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """For a terminal of 80 characters: where that is too narrow the methods' names are folded, never a number."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in columns:
        if column == "method":
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same, to be pasted into a document."""
    lines = [columns, ["---" if column == "method" else "---:" for column in columns], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
