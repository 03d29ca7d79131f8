"""Searches and `show` under a latency budget, with a table that was made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from evospace import search_command as module
from evospace.cli import main
from evospace.cost.latency_file import table_to_json
from evospace.cost.latency_table import LatencyTable
from evospace.errors import UsageError
from evospace.ops.pools import pool_names
from evospace.runs.front import read_front
from evospace.space.architecture import Architecture
from tests.profiling.tables import digits_table, verified

QUICK = ["--data", "digits", "--epochs", "1", "--samples", "6", "--max-rounds", "2", "--calibration-batches", "1"]
TABLE = digits_table(pool_names("mobile27"))
BUDGET = "latency=0.6ms"


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes 1 % more than predicted."""
    torch.set_num_threads(1)

    def measure(table: LatencyTable, architectures: list[Architecture], *_: object) -> list[int]:
        return [round(1.01 * table.predict_ns(a)) for a in architectures]

    monkeypatch.setattr(module, "measure", measure)


def saved(path: Path, table: LatencyTable = TABLE, **changes: Any) -> str:
    path.write_text(json.dumps(table_to_json(table) | changes))
    return str(path)


def search(tmp_path: Path, *more: str, budget: str = BUDGET, table: str = "") -> int:
    table = table or saved(tmp_path / "t.json")
    return main(["search", *QUICK, "--budget", budget, "--latency-table", table, "--out", str(tmp_path / "run"), *more])


def test_a_search_under_a_latency_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "t.json is not verified" in printed
    assert "latency  torch on cpu, batch 1, 1 thread(s), float32" in printed
    assert "measured" in printed
    data = json.loads((tmp_path / "run" / "front.json").read_text())
    assert data["latency_of"] == str(TABLE.setting)
    for member in data["front"]:
        assert 0.54 <= member["latency_ms"] <= 0.6
        predicted = TABLE.predict_ns(Architecture.from_json(member["architecture"]))
        assert member["latency_ms"] == pytest.approx(predicted / 1e6)
        assert member["latency_measured_ms"] == pytest.approx(1.01 * member["latency_ms"], abs=1e-6)
    costs = [member["latency_ms"] for member in data["front"]]
    assert costs == sorted(costs)
    front = read_front(tmp_path / "run" / "front.json")
    assert front.to_json() == data
    assert main(["show", str(tmp_path / "run")]) == 0
    assert "ms" in capsys.readouterr().out
    # finished and measured: nothing is left to do
    assert search(tmp_path, "--resume") == 0
    assert "is finished" in " ".join(capsys.readouterr().out.split())


def test_a_front_that_was_not_measured_yet_is_measured_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> list[int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", interrupt)
    assert search(tmp_path) == 130
    path = tmp_path / "run" / "front.json"
    assert "latency_measured_ms" not in path.read_text()
    monkeypatch.setattr(module, "measure", lambda table, members, *_: [7_000_000] * len(members))
    assert search(tmp_path, "--resume") == 0
    assert all(m["latency_measured_ms"] == 7 for m in json.loads(path.read_text())["front"])


def test_on_another_machine_the_front_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def elsewhere(*_: object) -> list[int]:
        raise UsageError("measured elsewhere")

    monkeypatch.setattr(module, "measure", elsewhere)
    table = saved(tmp_path / "t.json", verified(TABLE), machine={**TABLE.machine, "processor": "abacus"})
    assert search(tmp_path, table=table) == 0
    printed = capsys.readouterr().out
    assert "processor: abacus" in printed
    assert "not verified" not in printed
    assert "the front was not measured" in printed
    front = json.loads((tmp_path / "run" / "front.json").read_text())["front"]
    assert {m["latency_measured_ms"] for m in front} == {None}
    assert search(tmp_path, "--resume", table=table) == 0
    assert "is finished" in " ".join(capsys.readouterr().out.split())


def test_another_table_cannot_take_a_run_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, "--max-rounds", "1") == 0
    verified_later = saved(tmp_path / "t.json", verified(TABLE))
    assert search(tmp_path, "--resume", table=verified_later) == 0
    grown = saved(tmp_path / "t.json", digits_table([*pool_names("mobile27"), "conv_k3_e1"]))
    assert search(tmp_path, "--resume", table=grown) == 0
    slower = table_to_json(TABLE)
    slower["fit"]["constant"] += 50_000
    (tmp_path / "t.json").write_text(json.dumps(slower))
    assert search(tmp_path, "--resume", "--max-rounds", "3", table=str(tmp_path / "t.json")) == 4
    assert "latency table" in capsys.readouterr().err


def test_latency_as_a_further_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, "--max-rounds", "1", budget="macs=1M,latency=1.15ms,params=130K") == 0
    for member in json.loads((tmp_path / "run" / "front.json").read_text())["front"]:
        assert 900_000 <= member["macs"] <= 1_000_000
        assert member["latency_ms"] <= 1.15
        assert member["params"] <= 130_000
    assert "draws in the budget were rejected" in capsys.readouterr().out


def test_an_extension_counts_the_old_front_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, "--max-rounds", "1") == 0
    more = [*pool_names("mobile27"), "conv_k3_e1", "conv_k3_e2"]
    table = saved(tmp_path / "t.json", digits_table(more))
    flags = ["--pool", "latency19:kind==conv", "--max-rounds", "1", "--latency-table", table]
    assert main(["extend", str(tmp_path / "run"), *flags, "--out", str(tmp_path / "more")]) == 0
    data = table_to_json(digits_table(more))
    data["fit"]["scale"] = 2.0
    (tmp_path / "t.json").write_text(json.dumps(data))
    assert main(["extend", str(tmp_path / "run"), *flags, "--out", str(tmp_path / "other")]) == 4
    assert "other latencies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("budget", "code", "text"),
    [
        ("latency=3", 2, "has no unit"),
        ("latency=3M", 2, "us, ms or s"),
        ("latency=0ms", 2, "not an amount"),
        ("latency=-1ms", 2, "not an amount"),
        ("latency=nanms", 2, "not an amount"),
        ("latency=1us", 3, "the space reaches latency"),
        ("latency=1s", 3, "the space reaches latency"),
        ("macs=1M,latency=2us", 3, "latency <= 0.002ms cannot be kept"),
        ("macs=1M,macs=2M", 2, "upper limits on other metrics"),
        ("macs=1M,params=1K..2K", 2, "upper limits on other metrics"),
    ],
)
def test_bad_budgets(tmp_path: Path, budget: str, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, budget=budget) == code
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "front.json").exists()


def test_bad_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["search", *QUICK, "--budget", BUDGET, "--out", str(tmp_path / "run")]
    assert main(flags) == 2
    assert "needs --latency-table" in capsys.readouterr().err
    assert search(tmp_path, "--pool", "mobile27,latency19") == 4
    assert "lacks conv_k3_e1 at" in capsys.readouterr().err
    other = saved(tmp_path / "o.json", classes=7)
    assert search(tmp_path, table=other) == 4
    assert "classes: 7 -> 10" in capsys.readouterr().err
    assert search(tmp_path, table=str(tmp_path / "absent.json")) == 4
    assert not (tmp_path / "run").exists()


def test_show_predicts_and_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, "--max-rounds", "1") == 0
    capsys.readouterr()
    name = str(tmp_path / "run" / "front.json") + "#0"
    assert main(["show", name, "--latency-table", str(tmp_path / "t.json"), "--json"]) == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    front = json.loads((tmp_path / "run" / "front.json").read_text())["front"]
    assert shown["latency_ms"] == front[0]["latency_ms"]
    assert shown["latency_of"] == str(TABLE.setting)
    assert "not verified" in printed.err
    assert main(["show", name, "--measure", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency_measured_ms"] > 0
    assert main(["show", "nsenet", "--latency-table", str(tmp_path / "t.json")]) == 4
    assert "other networks" in capsys.readouterr().err
