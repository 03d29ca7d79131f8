"""What is told before a search: counts by hand, and a plan that costs nothing."""

import json
import signal
from pathlib import Path
from typing import Any, Literal

import pytest

from evospace.cli import main
from evospace.config import SearchConfig
from evospace.errors import BudgetError, UsageError
from evospace.experiment import prepare
from evospace.forecast import forecast, report_space
from evospace.lab import SupernetLab
from evospace.report.plan_lines import duration, outcome_line, space_lines
from evospace.runs.run_directory import RunDirectory
from evospace.strategies.contract import SearchState
from evospace.strategies.nse import INHERITED, active_sizes
from evospace.training.rules.proxyless import ProxylessRule
from tests.interruptions import content

QUICK = ["--data", "digits", "--epochs", "1", "--samples", "4", "--calibration-batches", "1"]


def sizes(waiting: int, k: int, rounds: int, done: int, refill: Literal["even", "full"] = "full") -> list[int]:
    names = tuple(f"op{i}" for i in range(waiting))
    state = SearchState(round=done, rounds=done + rounds, inherited=((),), waiting=(names,))
    return active_sizes(state, SearchConfig(candidates=k, refill=refill))


def test_sizes_of_the_rounds_by_hand() -> None:
    assert INHERITED == 1
    # 27 waiting, K = 5, 7 rounds: 5; then 22 left: 4 and 1 inherited in each round, and 2 are left for the last.
    assert sizes(27, 5, 7, 0) == [5, 5, 5, 5, 5, 5, 3]
    assert sizes(45, 5, 12, 3) == [*[5] * 11, 2]
    assert sizes(4, 5, 1, 0) == [4]
    assert sizes(10, 2, 2, 0) == [5, 6]
    # An equal share: 4 of 27 in each of 7 rounds but the last, which has 3.
    assert sizes(27, 5, 7, 0, "even") == [4, 5, 5, 5, 5, 5, 4]


def test_a_space_beside_its_budget() -> None:
    experiment = prepare(SearchConfig(data="digits", budget="macs=1M,params=130K"))
    report = report_space(experiment.problem, 0)
    low, high = experiment.problem.table.bounds(experiment.problem.full)
    assert (report.low, report.high) == (low, high)
    assert low < report.median < high
    assert report.log10_size == pytest.approx(56.9, abs=0.1)
    assert report.log10_inside is not None
    assert report.log10_mass is not None
    assert 0 < report.log10_inside < report.log10_size
    assert -60 < report.log10_mass < -10
    assert 0 < report.accepted < 1
    with pytest.raises(BudgetError, match=r"params <= 5000 cannot be kept: with macs=270000..300000 the space"):
        prepare(SearchConfig(data="digits", budget="macs=0.3M,params=5K"))


def test_further_limits_are_looked_at_in_what_the_search_would_draw() -> None:
    sparse, uniform = (
        report_space(
            prepare(SearchConfig(data="digits", budget="macs=0.3M,params=20K", initial_gates=gates)).problem, 0
        )
        for gates in ("sparse", "uniform")
    )
    assert sparse.accepted > 0.02  # few wide operations have few parameters, too
    assert uniform.accepted < 0.01
    assert sparse.log10_mass == uniform.log10_mass


@pytest.mark.parametrize(
    ("strategy", "scored"),
    [("nse", (42.0, 42.0, 42.0)), ("spos", (40.0,)), ("darts", (1.0,)), ("shrinking", (11.0, 11.0, 40.0))],
)
def test_a_forecast_counts_what_each_round_scores(
    strategy: str, scored: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evospace.experiment.forecast", forecast)  # in place of what all tests have (conftest.py)
    monkeypatch.setattr("evospace.forecast._timed", lambda *_: (1.0, 1.0))
    config = SearchConfig(data="digits", budget="macs=1M", samples=40, operations=14, strategy=strategy)
    experiment = prepare(config)
    assert experiment.forecast(experiment.first_state(), 3).score == scored


def test_a_forecast_counts_the_steps_of_all_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 2 s with one operation per block and 10 s with five; 1137 images are 4 whole batches of 256."""
    monkeypatch.setattr("evospace.forecast._timed", lambda bench, rule, size, check: (2.0 * size, 0.5))
    bench = prepare(SearchConfig(data="digits", budget="macs=1M", epochs=3, batch_size=256)).bench
    found = forecast(bench, "nse", [5, 3, 1], [42, 40, 1], 2)
    assert found.train == (3 * 4 * 10.0, 3 * 4 * 6.0, 3 * 4 * 2.0)
    assert found.score == (21.0, 20.0, 0.5)
    assert found.first_round == 3


def test_a_forecast_counts_the_rounds_to_come() -> None:
    config = SearchConfig(data="digits", budget="macs=1M", epochs=2, samples=40, calibration_batches=1)
    experiment = prepare(config)
    sizes_to_come = experiment.strategy.sizes(experiment.first_state(), experiment.config)
    found = forecast(experiment.bench, "nse", sizes_to_come[:3], [42, 42, 42], 0)
    assert found.active == (5, 5, 5)
    assert found.first_round == 1
    assert all(seconds > 0 for seconds in (*found.train, *found.score))
    assert found.total == pytest.approx(sum(found.train) + sum(found.score) + 3 * found.other)
    assert found.memory > 2**20
    assert found.to_json()["rounds"] == 3


def test_a_forecast_times_fitness_steps_of_a_strategy_that_begins_them_late(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    step = ProxylessRule.fitness_step

    def counted(*args: Any) -> None:
        taken.append(1)
        step(*args)

    monkeypatch.setattr(ProxylessRule, "fitness_step", counted)
    config = SearchConfig(data="digits", budget="macs=1M", strategy="proxyless", epochs=20, operations=3)
    forecast(prepare(config).bench, "proxyless", [3], [1], 0)
    assert len(taken) >= 2


def test_plan_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *QUICK, "--budget", "macs=1M"]) == 0
    printed = capsys.readouterr().out
    for word in ("space", "cost", "budget", "memory", "time"):
        assert f"\n{word} " in printed
    assert main(["plan", *QUICK, "--budget", "macs=1M", "--json", "--max-rounds", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rounds"] == 2
    assert {"log10_size", "median", "log10_mass", "total_seconds", "memory_mib"} <= found.keys()
    assert list(tmp_path.iterdir()) == []


def test_an_impossible_budget_ends_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--data", "digits", "--budget", "macs=1"]) == 3
    assert "69728 to 47322304" in capsys.readouterr().err


def test_estimate_and_actual_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("evospace.experiment.forecast", forecast)
    out = tmp_path / "run"
    assert main(["search", *QUICK, "--budget", "macs=1M", "--max-rounds", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "estimated -> actual: train" in printed
    plan = json.loads((out / "plan.json").read_text())
    assert (plan["first_round"], plan["rounds"]) == (1, 1)
    # rounds that are added are foreseen when they are
    assert main(["search", *QUICK, "--budget", "macs=1M", "--max-rounds", "2", "--out", str(out), "--resume"]) == 0
    plan = json.loads((out / "plan.json").read_text())
    assert (plan["first_round"], plan["rounds"]) == (2, 1)
    capsys.readouterr()
    assert main(["show", str(out)]) == 0
    assert "estimated -> actual" in capsys.readouterr().out
    (out / "plan.json").write_text("{}")
    assert main(["show", str(out)]) == 0
    assert "estimated" not in capsys.readouterr().out


def test_the_outcome_by_hand() -> None:
    plan = {"first_round": 2, "rounds": 2, "train_seconds": 20.0, "score_seconds": 4.0}
    summaries = [
        {"round": n, "train_seconds": 12.0, "score_seconds": 3.0} for n in (1, 2)
    ]  # round 1 came before, round 3 did not come
    assert outcome_line(plan, summaries) == (
        "estimated -> actual: train 10 s -> 12 s, score 2 s -> 3 s, together 12 s -> 15 s (1.25 times the estimate)"
    )
    assert duration(90) == "90 s"
    assert duration(600) == "10 min"
    assert duration(9000) == "2.5 h"


def test_a_window_between_two_bins_is_still_counted() -> None:
    report = report_space(prepare(SearchConfig(data="digits", budget="params=1M..1000010")).problem, 0)
    assert report.log10_inside is not None
    assert report.log10_mass is not None
    assert 0 < report.log10_inside < report.log10_size
    assert -60 < report.log10_mass < 0


def test_limits_that_no_draw_keeps_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *QUICK, "--strategy", "spos", "--branches", "multi", "--budget", "macs=20M,params=390K"]) == 0
    assert "warning: no draw keeps the limits" in capsys.readouterr().out
    assert main(["plan", *QUICK, "--budget", "macs=20M,params=20K"]) == 3
    assert "with macs=18000000..20000000 the space begins at 387234" in capsys.readouterr().err


def test_a_window_too_narrow_for_its_bins_is_told_without_numbers() -> None:
    config = SearchConfig(data="digits", image_size=64, skeleton="mobile", budget="params=3600002..3600002")
    problem = prepare(config).problem
    report = report_space(problem, 0)
    assert (report.log10_inside, report.log10_mass) == (None, None)
    assert "budget   params=3600002..3600002: too narrow to count its architectures" in list(
        space_lines(problem, report)
    )


def test_a_plan_without_a_forecast_is_a_plan_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("evospace.experiment.forecast", forecast)  # with the first operations of each queue it ends
    flags = ["plan", *QUICK, "--pool", "mobile27:kernel>=9", "--budget", "macs=5489694"]
    assert main(flags) == 0
    assert "warning: no forecast: budget" in capsys.readouterr().out
    assert main([*flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "total_seconds" not in told
    assert told["no_forecast"].startswith("budget")


def test_a_damaged_plan_is_no_plan(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for text in ("{", "[]", "{}", '{"first_round":1,"rounds":0,"train_seconds":0,"score_seconds":0}'):
        run.plan_file.write_text(text)
        assert run.plan() is None


def test_a_forecast_that_cannot_be_made_ends_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*args: object) -> None:
        raise UsageError("out of memory in round 1")

    monkeypatch.setattr("evospace.experiment.forecast", fails)
    out = tmp_path / "run"
    assert main(["search", *QUICK, "--budget", "macs=1M", "--max-rounds", "1", "--out", str(out)]) == 0
    assert "warning: no forecast: out of memory" in capsys.readouterr().out
    assert not (out / "plan.json").exists()


def test_a_search_ended_in_its_forecast_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evospace.experiment.forecast", forecast)
    search = ["search", *QUICK, "--budget", "macs=1M", "--max-rounds", "1", "--resume", "--out"]
    assert main([*search, str(tmp_path / "whole")]) == 0
    real = SupernetLab.check_signals

    def end(self: SupernetLab, where: str) -> None:
        if "forecast" in where:
            signal.raise_signal(signal.SIGTERM)
        real(self, where)

    with monkeypatch.context() as patch:
        patch.setattr(SupernetLab, "check_signals", end)
        assert main([*search, str(tmp_path / "ended")]) == 143
    assert main([*search, str(tmp_path / "ended")]) == 0
    assert content(tmp_path / "ended") == content(tmp_path / "whole")
