"""The page tells what the run holds, and only that."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard import SummaryWriter

from evospace.cli_arguments import parse
from evospace.config import SearchConfig
from evospace.errors import DataError, UsageError
from evospace.report.page import write_report
from evospace.report.page.gather import gather
from evospace.report.page.tables import command
from evospace.report.settings import ReportArgs
from evospace.runs.files import write_json
from evospace.runs.run_directory import RunDirectory
from tests.report.made_run import NAMES, add_evaluation, make_run
from tests.report.parsed_page import ParsedPage

ALWAYS = {"fronts", "networks", "space", "training", "rounds", "ledger", "environment", "reproduce"}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "run")


def page_of(run: RunDirectory) -> ParsedPage:
    return ParsedPage(write_report(run.path))


def sections(page: ParsedPage) -> set[str]:
    return page.ids & {*ALWAYS, "retrained", "forecast"}


def test_numbers_are_those_of_the_database(run: RunDirectory) -> None:
    page = page_of(run)
    assert sections(page) == ALWAYS
    for i, e in enumerate(run.database.states()[-1].front):
        blocks = [" + ".join(names) or "identity (no operation)" for names in e.architecture.blocks]
        expected = [str(i), f"{e.macs:,}", f"{e.params:,}", f"{100 * e.accuracy:.2f} %", "2"]
        assert [*expected, "show 2 blocks" + "".join(blocks)] in page.rows
    for row in run.database.ledger():
        came = "inherited" if row.inherited else "new"
        line = [str(row.block + 1), row.operation, came, f"{row.fitness:.3f}", row.outcome, row.reason]
        assert line in page.rows
    assert ["2", "3", "1", "950", "2", "51.25 %", "2.2000", "", "10.0", "1.5"] in page.rows
    assert "It tried 5 of 6 combinations" in page.text
    assert page.figures["fronts"]["data"][1]["x"] == [912, 987]
    assert page.figures["fronts"]["data"][1]["y"] == pytest.approx([25.0, 51.25])


def test_the_grid_has_a_cell_per_operation_and_block(run: RunDirectory) -> None:
    page = page_of(run)
    assert [NAMES[0], "1", ""] in page.rows
    assert [NAMES[1], "1", "1"] in page.rows
    assert [NAMES[2], "2", "2"] in page.rows
    found = {v for t, name, v in page.attributes if (t, name) == ("td", "data-h")}
    assert found == {"1k1.12 2k1.12", "1p-2.25", "2p-2.25", "1u-0.50", "2u-0.50"}
    names = [row[0] for row in page.rows if row and row[0] in NAMES]
    assert names == ["conv_k3", "conv_k5", "conv_k11"]


def test_what_a_block_has_not_is_not_counted(tmp_path: Path) -> None:
    """`--operations` gives each block its own part of the pool."""
    assert "It tried 3 of 6 combinations" in page_of(make_run(tmp_path / "whole", rounds=1)).text
    page = page_of(make_run(tmp_path / "part", rounds=1, part=True))
    assert "It tried 3 of 5 combinations" in page.text
    assert "not in that block's part of the pool" in page.text
    assert [tag for tag, name, _ in page.attributes if name == "data-absent"] == ["td"]


def test_what_no_supernet_or_fitness_told_is_not_said(tmp_path: Path) -> None:
    """The page of a search that trains each network on its own, and of one that learns no fitness."""
    alone = make_run(tmp_path / "alone", rounds=1, learned=False, strategy="random-draw", max_rounds=1)
    text, _, _ = page_of(alone).text.partition("How to reproduce The same")  # with all settings
    assert "It trained 2 networks, each on its own" in text
    assert "Networks trained 2" in text
    assert not re.search(r"shared weights|supernet|fitness|front before|first searched", text)
    page = page_of(make_run(tmp_path / "uniform", rounds=1, learned=False, strategy="spos", max_rounds=1))
    assert "under shared weights" in page.text
    text, _, _ = page.text.partition("How to reproduce The same")
    assert not re.search(r"fitness|front before|Every round trains", text)
    assert "fitness" not in page.figures
    assert {value for _, name, value in page.attributes if name == "data-h"} == {"1k", "1p", "1u"}


def test_a_large_pool_is_laid_out_in_panels(tmp_path: Path) -> None:
    from evospace.report.page.grid import PANEL, grid

    facts = gather(make_run(tmp_path / "run").path)
    state = facts.states[-1]
    many = tuple(f"x_k{i}" for i in range(302 - len(NAMES)))
    object.__setattr__(state, "waiting", (many, ()))
    panels = grid(facts)
    assert [row.operation for panel in panels for row in panel] == [*NAMES, *many]
    assert len(panels) == 8
    assert all(len(panel) <= PANEL for panel in panels)


def test_what_is_there_gets_its_section(run: RunDirectory) -> None:
    plan = {"first_round": 1, "rounds": 4, "train_seconds": 80, "score_seconds": 2}
    write_json(run.plan_file, plan)
    for seed, top1 in enumerate((0.8, 0.9)):
        add_evaluation(run.path, 1, seed, top1=top1)
    add_evaluation(run.path, 0, 0, weights="ema", top1=0.7, latency_ms=1.25, top5=0.99)
    with SummaryWriter(run.path / "tensorboard") as board:
        board.add_scalar("supernet/loss", 2.5, 1)
        board.add_scalar("supernet/loss", float("nan"), 2)
    page = page_of(run)
    assert sections(page) == ALWAYS | {"retrained", "forecast"}
    mean = ["1", "last", "digits", "2", "51.25 %", "85.00 ± 7.07 %", "", "0.3", "0.02", "987", "4,321", ""]
    assert mean in page.rows
    single = ["0", "ema", "digits", "1", "25.00 %", "70.00 %", "99.00 %", "0.3", "0.02", "987", "4,321", "1.25"]
    assert single in page.rows
    assert ["together", "41 s", "23 s", "0.56"] in page.rows
    assert page.figures["curve-loss"]["data"][0]["y"] == [2.5]
    assert {f"chart-{name}" for name in page.figures} <= page.ids


def test_measured_latencies_stand_beside_predicted_ones(run: RunDirectory) -> None:
    members = zip(run.database.states()[-1].front, (1.5, None), strict=True)
    front = [e.to_json() | {"latency_measured_ms": ms} for e, ms in members]
    write_json(run.front, {"format": 1, "front": front, "latency_of": "torch cpu"})
    page = page_of(run)
    assert any("1.5 ms" in row for row in page.rows)
    assert any("not measured" in row for row in page.rows)
    write_json(run.front, {"format": 1, "front": front[:1]})
    page = page_of(run)
    assert "front.json is not that of the last round" in page.text
    assert not any("1.5 ms" in row for row in page.rows)


def test_an_accuracy_of_another_network_is_not_shown_beside_the_fronts(run: RunDirectory) -> None:
    add_evaluation(run.path, 0, 0)
    add_evaluation(run.path, 1, 0)
    front = run.database.states()[-1].front
    for index, blocks in ((0, front[0].architecture.to_json()), (1, [["mbconv_k11_e6"]])):
        write_json(run.path / f"retrained/net-{index:02d}/network.json", {"architecture": blocks})
    page = page_of(run)
    assert "it is of another network than the front's 1" in page.text
    assert any(row[:4] == ["0", "last", "digits", "1"] for row in page.rows)
    assert not any(row[:4] == ["1", "last", "digits", "1"] for row in page.rows)


def test_results_of_other_images_are_not_averaged_with_those_of_the_searchs(run: RunDirectory) -> None:
    add_evaluation(run.path, 0, 0, top1=0.5)
    add_evaluation(run.path, 0, 1, top1=0.9, data="other")
    page = page_of(run)
    rows = [row[:4] for row in page.rows if row[:2] == ["0", "last"]]
    assert rows == [["0", "last", "digits", "1"], ["0", "last", "other", "1"]]
    assert "Best after retraining" in page.text
    assert "50.00 % network 0 trained on its own" in page.text
    assert "which flatters it" not in page.text  # there is one to take
    add_evaluation(run.path, 1, 0, top1=0.6)
    assert "the best of 2 tested, which flatters it" in page_of(run).text


def test_other_images_in_a_folder_of_the_same_name_make_no_headline(run: RunDirectory) -> None:
    add_evaluation(run.path, 0, 0, top1=0.5)
    path = add_evaluation(run.path, 1, 0, top1=0.9)
    path.rename(path.with_name("last-evaluation-digits-0a1b2c.json"))
    assert "50.00 % network 0 trained on its own" in page_of(run).text


def test_two_folders_of_one_name_are_two_data_sets(run: RunDirectory) -> None:
    for place, top1 in (("-val-0a1b2c", 0.25), ("-val-3d4e5f", 0.75)):
        path = add_evaluation(run.path, 0, 0, top1=top1, data="val")
        path.rename(path.with_name(f"last-evaluation{place}.json"))
    rows = [row for row in page_of(run).rows if row[:2] == ["0", "last"]]
    assert [row[2:4] for row in rows] == [["val", "1"]] * 2
    assert [[cell for cell in row if "75.00" in cell] != [] for row in rows] == [False, True]


RANKING = {
    "round": 2,
    "scored": 9,
    "kendall": {"value": 0.5, "low": -0.25, "high": 0.875, "pairs": 2},
    "spearman": None,
    "networks": [
        {"score": 0.25, "top1": 0.75, "macs": 912},
        {"score": 0.5, "top1": 0.5, "macs": 987},
        {"score": 0.75, "failure": "out of memory"},
    ],
}


def test_trust_in_the_ranking_is_shown_where_it_was_measured(run: RunDirectory) -> None:
    write_json(run.path / "ranking.json", RANKING)
    page = page_of(run)
    assert "ranking" in page.ids
    assert "2 networks, spread over the scores of the last round's 9" in page.text
    assert "Kendall's tau: 0.50 (95 % interval -0.25 to 0.88)" in page.text
    assert "Spearman" not in page.text
    trace = page.figures["ranking"]["data"][0]
    assert (trace["x"], trace["y"]) == ([25.0, 50.0], [75.0, 50.0])
    tied = {"value": 0.5, "low": None, "high": None, "pairs": 2}
    write_json(run.path / "ranking.json", RANKING | {"round": 1, "spearman": tied})
    text = page_of(run).text
    assert "Spearman's rho: 0.50 (interval not known: ties)" in text
    assert "the scores of round 1's 9 in the budget" in text  # the search went on since


@pytest.mark.parametrize(
    "changed",
    [
        {"networks": 3},
        {"scored": None},
        {"networks": [{"score": 2, "top1": 0.5}]},
        {"spearman": {"value": 2, "low": 0, "high": 1}},
    ],
)
def test_a_damaged_ranking_is_told_and_passed_over(run: RunDirectory, changed: dict[str, object]) -> None:
    write_json(run.path / "ranking.json", RANKING | changed)
    page = page_of(run)
    assert "ranking" not in page.ids
    assert "ranking.json was passed over" in page.text


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 2}', '{"format": 1, "weights": "last", "seed": 0, "top1": 2}', "\xff"]
)
def test_a_damaged_evaluation_is_told_and_passed_over(run: RunDirectory, content: str) -> None:
    add_evaluation(run.path, 1, 0)
    add_evaluation(run.path, 1, 1).write_text(content, encoding="latin-1")
    page = page_of(run)
    assert "retrained/net-01/seed-1/last-evaluation.json was passed over: " in page.text
    assert any(row[:4] == ["1", "last", "digits", "1"] for row in page.rows)


def test_damaged_events_are_told_and_passed_over(run: RunDirectory) -> None:
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events.out.tfevents.1.x.1.0").write_bytes(b"\x18" + b"no events " * 20)
    assert not [name for name in page_of(run).figures if name.startswith("curve")]


def test_the_command_says_what_config_says(run: RunDirectory) -> None:
    texts = page_of(run).texts
    assert "evospace search --data digits --budget macs=1K --se --lr 0.3" in texts
    assert "pip install torch==9.8.7" in texts


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "run", rounds=1))
    assert "The search is not finished: 1 of 2 rounds are done." in page.text
    assert "until" not in page.ids


@pytest.mark.parametrize(
    ("settings", "carried"),
    [({}, True), ({"weights": "fresh"}, False), ({"strategy": "spos"}, False), ({"strategy": "shrinking"}, True)],
)
def test_the_page_says_whether_weights_go_on(settings: dict[str, Any], carried: bool, tmp_path: Path) -> None:
    text = " ".join(write_report(make_run(tmp_path / "run", **settings).path).read_text(encoding="utf-8").split())
    assert ("trains the shared weights further, so heights" in text) is carried
    assert ("trains new shared weights, so heights" in text) is not carried


def test_out_names_another_file(run: RunDirectory, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    assert write_report(run.path, target) == target
    assert not (run.path / "report.html").exists()
    with pytest.raises(UsageError, match="folder that is there"):
        write_report(run.path, tmp_path / "no" / "page.html")
    with pytest.raises(UsageError, match="folder that is there"):
        write_report(run.path, tmp_path)


def test_what_is_no_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a run directory"):
        write_report(tmp_path)
    with pytest.raises(UsageError, match="has no finished round yet; go on with it first: evospace search --out"):
        write_report(make_run(tmp_path / "new", rounds=0).path)
    (run.path / "run.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match=r"run\.db"):
        write_report(run.path)
    (run.path / "run.db").unlink()
    with pytest.raises(DataError, match=r"run\.db: is missing"):
        write_report(run.path)


def test_files_that_do_not_fit_together_are_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", budget="latency=3ms")
    with pytest.raises(DataError, match="its networks have no latency"):
        write_report(run.path)


@pytest.mark.parametrize("package", ["jinja2", "plotly"])
def test_a_missing_package_is_named(run: RunDirectory, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match="pip install plotly jinja2"):
        write_report(run.path)


def test_a_page_replaces_the_one_before(run: RunDirectory) -> None:
    first = write_report(run.path).read_bytes()
    assert write_report(run.path).read_bytes() == first
    shutil.rmtree(run.path / "tensorboard", ignore_errors=True)
    (run.path / "environment.json").write_text(json.dumps([]), encoding="utf-8")
    page = page_of(run)
    assert "environment.json is missing or damaged." in page.text
    assert "environment" not in page.ids


def test_flags() -> None:
    assert ReportArgs(run="runs/x").out == ""
    with pytest.raises(UsageError, match="NUL"):
        ReportArgs(run="x\0")


def test_the_command_of_a_run_says_what_is_off_and_what_an_earlier_version_did() -> None:
    config = SearchConfig(data="digits", budget="macs=1M", lock=False, se=True, out="somewhere").to_dict()
    assert command(config) == "evospace search --data digits --budget macs=1M --se --no-lock"
    earlier = {key: value for key, value in config.items() if key not in ("initial_weights", "initial_gates")}
    wanted = ["--initial-weights independent", "--initial-gates uniform"]
    assert all(text in command(earlier) for text in wanted)
    words = shlex.split(command(earlier))[2:]
    assert parse(SearchConfig, args=words, prog="evospace search").to_dict() == config | {
        "out": "", "initial_weights": "independent", "initial_gates": "uniform"
    }  # fmt: skip
