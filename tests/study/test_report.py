import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from evospace.cli import main
from evospace.study.directory import StudyDirectory
from evospace.study.figures import draw_ablation, draw_effects, draw_space_size
from evospace.study.paired import effects
from evospace.study.plan import BASE, COMPARED, FURTHER, VARIANTS, plan_jobs
from evospace.study.report import markdown, study_table, summaries, texts_of, texts_of_effects
from tests.study.made import finished, result, settings

BASE_AND_K3 = [finished("base", s, a) for s, a in enumerate((0.90, 0.92, 0.94))] + [
    *(finished("k3", s, a) for s, a in enumerate((0.91, 0.92, 0.92))),
    finished("k3", 3, None),
    finished("k8", 0, 0.95),
]


def test_means_spreads_and_failures_are_those_by_hand() -> None:
    (row,) = summaries([finished("nse", s, a) for s, a in enumerate((0.90, 0.92, 0.94, None))], ["nse"])
    assert (row.method, row.operations, row.length, row.seeds) == ("nse", 5, 1, 3)
    assert row.accuracy == pytest.approx(92.0)
    assert row.spread == pytest.approx(2.0)  # sqrt((2^2 + 0 + 2^2) / 2)
    assert row.score == pytest.approx(82.0)
    assert row.score_spread == pytest.approx(2.0)
    assert (row.images, row.search_seconds, row.retrain_seconds, row.peak_mib) == (1000, 12, 5, 100)
    assert row.failures == ("nse-n5-x1-s3: out of the budget",)
    assert row.difference is None


def test_differences_are_paired_by_seed() -> None:
    base, k3, k8 = summaries(BASE_AND_K3, list(VARIANTS), BASE)
    assert base.difference is None
    assert k3.difference is not None
    assert k3.difference.values == pytest.approx((1.0, 0.0, -2.0))
    assert k3.difference.mean == pytest.approx(-1 / 3)
    assert k3.difference.spread == pytest.approx(1.527525)  # sqrt((4/3)^2 + (1/3)^2 + (5/3)^2) / sqrt(2)
    assert k3.difference.half_width == pytest.approx(4.302653 * 1.527525 / 3**0.5, rel=1e-5)  # t of 2 degrees, 97.5 %
    assert k8.difference is not None
    assert k8.difference.mean == pytest.approx(5.0)
    assert k8.difference.half_width is None


def test_the_table_for_a_document() -> None:
    assert markdown(*texts_of(summaries(BASE_AND_K3, list(VARIANTS), BASE))).splitlines() == [
        "| method | x | n | top-1 | sd | diff | +- | images | scored | search | retrain | MiB | fail |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| base | 1 | 3 | 92.00 | 2.00 |  |  | 1K | 126 | 12.0 | 5.0 | 100 | 0 |",
        "| k3 | 1 | 3 | 91.67 | 0.58 | -0.33 | 3.79 | 1K | 126 | 12.0 | 5.0 | 100 | 1 |",
        "| k8 | 1 | 1 | 95.00 |  | +5.00 |  | 1K | 126 | 12.0 | 5.0 | 100 | 0 |",
    ]


@pytest.mark.parametrize("name", ["ablation", "space-size", "effects"])
def test_a_terminal_of_80_characters_shows_every_number(name: str) -> None:
    # Wide ones: ten seeds, 27 operations, minutes of search, a gigabyte, a spread and a difference above ten points.
    many = [
        [finished(method, s, a + s % 2 / 4, operations=operations) for s in range(10)]
        for method, a in (("base", 0.5), ("initial-gates-uniform", 0.7), ("nse", 0.6), ("regularized-evolution", 0.5))
        for operations in (5, 27)
    ]
    large = {"images": 134_400, "scored": 1690, "train_seconds": 1784.1, "peak_bytes": 2**31, "peak_gpu_bytes": 0}
    found = [replace(job, result={**(job.result or {}), **large}) for jobs in many for job in jobs]
    columns, rows = {
        "ablation": lambda: texts_of(summaries(found, list(VARIANTS), BASE)),
        "space-size": lambda: texts_of(summaries(found, list(COMPARED))),
        "effects": lambda: texts_of_effects(effects(found, list(COMPARED))),
    }[name]()
    console = Console(file=io.StringIO(), width=80)
    console.print(study_table("title", columns, rows))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    lines = [line.split() for line in printed.splitlines()]
    assert [columns[0], *columns[1:]] in lines
    for row in rows:
        assert [cell for cell in row[1:] if cell] in [line[1:] for line in lines]


def test_rows_are_ordered_by_length_size_and_method() -> None:
    jobs = [finished(v, 0, 0.5, n, x) for v in ("spos", "nse") for n in (27, 5) for x in (2, 1)]
    found = [(row.length, row.operations, row.method) for row in summaries(jobs, ["nse", "spos"])]
    assert found == [(x, n, v) for x in (1, 2) for n in (5, 27) for v in ("nse", "spos")]


def test_all_that_is_finished_is_drawn_and_what_is_not_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    draw_space_size(path, summaries([finished("nse", 0, 0.5), finished("spos", 0, None, 27, 2)], ["nse", "spos"]))
    alone = np.asarray(Image.open(path).convert("L"))
    draw_space_size(path, summaries([finished("nse", 0, None)], ["nse"]))
    draw_ablation(path, summaries([finished("base", 0, 0.5)], list(VARIANTS), BASE))  # nothing to compare with it
    draw_ablation(path, summaries(BASE_AND_K3, list(VARIANTS), BASE))
    assert alone.std() > 1
    assert np.asarray(Image.open(path).convert("L")).std() > 1


def test_no_two_methods_look_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Colour and marker of all that a study may compare; and each looks the same beside whatever others."""
    drawn: list[Figure] = []
    monkeypatch.setattr("evospace.study.figures.save_figure", lambda figure, _: drawn.append(figure))
    known = [*COMPARED, *FURTHER]
    for names in (known, known[5:1:-1]):
        draw_space_size(tmp_path, summaries([finished(name, 0, 0.5) for name in names], names))
    all_, some = (
        {
            str(c.get_label()): (line.get_color(), line.get_marker())
            for c in figure.axes[0].containers
            if isinstance(c, ErrorbarContainer) and (line := c.lines[0])
        }
        for figure in drawn
    )
    assert len(set(all_.values())) == len(known)
    assert some.items() <= all_.items()
    assert len(some) == 4


def test_the_picture_has_tested_accuracy_above_and_the_score_of_supernets_below(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("evospace.study.figures.save_figure", lambda figure, _: drawn.append(figure))
    jobs = [finished("spos", 0, a, n) for n, a in ((5, 0.9), (27, 0.8))]
    unseen = [replace(job, variant="random-draw", result=result(0.7, images=0)) for job in jobs]
    draw_space_size(tmp_path, summaries([*jobs, *unseen], ["spos"]))
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["spos", "random-draw"]
    tested, scored = drawn[0].axes
    assert _heights(tested) == [[90.0, 80.0], [70.0, 70.0]]
    assert _heights(scored) == [[80.0, 70.0]]  # each score is 10 points below the tested accuracy


def test_the_legend_tells_how_many_seeds_each_has_where_they_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("evospace.study.figures.save_figure", lambda figure, _: drawn.append(figure))
    jobs = [finished("nse", seed, 0.9, n) for seed in (0, 1, 2) for n in (5, 27)]
    jobs += [finished("spos", 0, 0.8, 5), *(finished("spos", seed, 0.8, 27) for seed in (0, 1))]
    draw_space_size(tmp_path, summaries([*jobs, finished("random", 0, 0.7)], ["nse", "spos", "random"]))
    told = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert told == ["nse (3 seeds)", "spos (1 to 2 seeds)", "random (1 seed)"]


def _heights(axes: Axes) -> list[list[float]]:
    lines = [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    return [[round(float(y), 6) for _, y in np.asarray(line.get_xydata()).tolist()] for line in lines if line]


def test_effects_are_drawn_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the row of its method the mean of each difference, first at length 1, then at 2, then of both."""
    drawn: list[Figure] = []
    monkeypatch.setattr("evospace.study.figures.save_figure", lambda figure, _: drawn.append(figure))
    jobs = [finished("nse", s, a, n, x) for s in (0, 1) for n, a in ((5, 0.90), (27, 0.93)) for x in (1, 2)]
    jobs += [finished("spos", s, a, n) for s in (0, 1) for n, a in ((5, 0.91), (27, 0.90))]
    draw_effects(tmp_path, effects(jobs, ["spos", "nse"]))
    growth, over_sizes, in_largest = drawn[0].axes
    assert [label.get_text() for label in growth.get_yticklabels()] == ["nse", "spos"]
    assert [_means(axes) for axes in (growth, over_sizes, in_largest)] == [
        [[(3.0, 0), (-1.0, 1)], [(3.0, 0)], [(3.0, 0)]],
        [[(1.0, 1)], [], []],
        [[(3.0, 1)], [], []],
    ]
    draw_effects(tmp_path, effects([finished("nse", 0, 0.9), finished("spos", 0, 0.8)], ["nse", "spos"]))
    assert [_means(axes) for axes in drawn[1].axes] == [[[]], [[(10.0, 1)]], [[]]]  # a size, a seed: a lead alone


def _means(axes: Axes) -> list[list[tuple[float, int]]]:
    """Of each length the means and their rows."""
    lines = [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    points = [np.asarray(line.get_xydata()).tolist() for line in lines if line is not None]
    return [[(round(x, 6), round(y)) for x, y in of_length] for of_length in points]


def test_a_study_of_one_method_at_one_size_has_no_effects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = StudyDirectory(tmp_path / "study")
    made = settings(strategies="nse", operations="5", seeds=1, out=str(study.path))
    study.open(made, {})
    study.database.add(plan_jobs(made)[0], result=result(0.9))
    assert main(["study", "report", str(study.path)]) == 0
    assert "effects.png" not in capsys.readouterr().out
    assert [file.name for file in study.path.glob("*.png")] == ["space_size.png"]


def test_a_study_in_which_every_job_failed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = StudyDirectory(tmp_path / "study")
    made = settings(strategies="nse", operations="5,27", seeds=1, out=str(study.path))
    study.open(made, {})
    study.database.add(plan_jobs(made)[0], failure="no network fits")
    assert main(["study", "report", str(study.path)]) == 0
    out = capsys.readouterr().out
    assert "no network fits" in out
    assert "table.md" in out
    assert "png" not in out
    assert not list(study.path.glob("*.png"))


def test_the_report_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = StudyDirectory(tmp_path / "study")
    assert main(["study", "report", str(study.path)]) == 2
    assert "holds no study" in capsys.readouterr().err
    made = settings(strategies="nse,regularized-evolution", operations="5,27", seeds=2, out=str(study.path))
    study.open(made, {})
    assert main(["study", "report", str(study.path)]) == 4
    assert "no job is finished" in capsys.readouterr().err
    for job in plan_jobs(made):
        study.database.add(job, result=result(0.9 + 0.01 * job.seed))
    assert main(["study", "report", str(study.path)]) == 0
    seen = capsys.readouterr().out
    assert seen.count("90.50") == 4
    assert "…" not in seen
    assert all(len(line.rstrip()) <= 80 for line in seen.splitlines() if "90.50" in line)
    assert main(["study", "report", str(study.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((study.path / "results.json").read_text())
    assert found["kind"] == "space-size"
    assert len(found["jobs"]) == 8
    assert {row["seeds"] for row in found["summaries"]} == {2}
    assert (study.path / "table.md").read_text().count("| nse |") == 3
    assert (study.path / "space_size.png").stat().st_size > 10_000
    assert (study.path / "effects.png").stat().st_size > 10_000
