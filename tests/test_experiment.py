"""A search from Python: what may be given, what comes back, and how one goes on."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evospace
from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.data import hold_out, load_data
from evospace.errors import DataError, InterruptedRunError, UsageError
from evospace.estimation.shared_weights import SharedWeights
from evospace.experiment import FEW_STEPS, prepare
from evospace.runs.database import RunDatabase
from evospace.runs.run_directory import RunDirectory
from evospace.sampling.in_budget import InBudgetGates
from evospace.training.rules.uniform import UniformRule
from tests.bad_input import folder
from tests.interruptions import content

QUICK: dict[str, Any] = {"data": "digits", "budget": "macs=0.3M", "epochs": 1, "samples": 4, "operations": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("search") / "run"
    evospace.search(**QUICK, calibration_batches=1, out=out)
    return out


def test_the_directory_alone_goes_on(run: Path) -> None:
    before = content(run)
    assert evospace.search(out=run, resume=True).run == run
    assert content(run) == before
    with pytest.raises(UsageError, match=r"other settings \(epochs: 1 -> 2\)"):
        evospace.search(out=run, resume=True, epochs=2)
    with pytest.raises(UsageError, match="--resume needs --out"):
        evospace.search(**QUICK, resume=True)


def test_settings_that_are_none_are_told_and_numbers_of_numpy_are_numbers(run: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'epoch'; did you mean epochs"):
        evospace.search(data="digits", epoch=1)
    with pytest.raises(UsageError, match=r"give a SearchConfig, or settings by name"):
        evospace.search("digits")  # type: ignore[arg-type]
    assert evospace.search(out=run, resume=True, seed=np.int64(QUICK.get("seed", 0))).run == run


def test_fewer_rounds_than_a_run_has_had_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summaries = RunDirectory(run).database.summaries()
    for rounds in (0, len(summaries)):
        evospace.search(out=run, resume=True, max_rounds=rounds)
        assert "is finished" in " ".join(capsys.readouterr().out.split())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDatabase, "summaries", lambda self: [*summaries, summaries[-1] | {"round": 9}])
        evospace.search(out=run, resume=True, max_rounds=len(summaries))
    assert "has had 9 rounds already" in " ".join(capsys.readouterr().out.split())


def test_ctrl_c_before_anything_is_trained_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evospace.experiment.load_data", ended)
    with pytest.raises(InterruptedRunError, match="before anything was begun") as caught:
        evospace.search(**QUICK, out=tmp_path / "run")
    assert caught.value.exit_code == 130
    assert not list(tmp_path.iterdir())
    with pytest.raises(InterruptedRunError, match="all is as it was, go on with --resume"):
        evospace.search(**QUICK, out=tmp_path / "run", resume=True)


def test_a_run_goes_on_from_wherever_its_images_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder("images", count=20)
    folder("others", count=30)
    quick = QUICK | {"data": "images", "budget": "macs=1M", "operations": 8, "calibration_batches": 1, "out": "run"}
    front = evospace.search(**quick, max_rounds=1).front
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(
        UsageError,
        match=r"no data set or folder 'images'.*put the images of \S+ back there, or .* with --data where they",
    ):
        evospace.search(out="../run", resume=True, max_rounds=2)
    for data in ("../others", "digits"):
        with pytest.raises(DataError, match="the data or the operations are not what"):
            evospace.search(out="../run", resume=True, max_rounds=1, data=data)
    again = evospace.search(out="../run", resume=True, max_rounds=1, data="../moved").front
    assert [m.accuracy for m in again] == [m.accuracy for m in front]
    assert len(evospace.search(out="../run", resume=True, max_rounds=2).front) > 0  # it knows the new place


def test_of_two_that_begin_a_run_at_once_the_second_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (prepare(SearchConfig(**QUICK, seed=seed, out=str(tmp_path / "run"))) for seed in (0, 1))
    looked = itertools.chain([False], itertools.repeat(True))
    first.directory.open(first.config, first.contents)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    monkeypatch.setattr(RunDirectory, "begun", property(lambda self: next(looked)))
    with pytest.raises(UsageError, match="is in use already"):
        second.directory.open(second.config, second.contents)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "steps", "told"), [({"epochs": 2}, 16, True), ({"epochs": 4, "batch_size": 16}, 284, False)]
)
def test_a_training_of_few_steps_is_told(flags: dict[str, Any], steps: int, told: bool) -> None:
    for done in (0, 2):  # an extension goes on after rounds of another run
        config = evospace.SearchConfig(data="digits", budget="macs=0.3M", max_rounds=done + 1, **flags)
        experiment = prepare(config)
        lines = list(experiment.announcement(replace(experiment.first_state(), round=done)))
        assert f"{steps} weight steps in 1 round(s)" in "\n".join(lines)
        warned = any(line.startswith(f"warning: {steps * (done + 1)} weight steps teach") for line in lines)
        assert warned == (told and steps * (done + 1) < FEW_STEPS)


def test_two_searches_of_one_second_get_folders_of_their_own() -> None:
    assert len({prepare(SearchConfig(**QUICK)).directory.path for _ in range(2)}) == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("epochs", "3", "epochs: '3' is not a whole number"),
        ("epochs", 2.5, "epochs: 2.5 is not a whole number"),
        ("samples", True, "samples: True is not a whole number"),
        ("data", 7, "data: 7 is not text"),
        ("out", 7, "out: 7 is not text"),
        ("out", None, "out: None is not text"),
        ("lock", 1, "lock: 1 is not true or false"),
        ("lr", "0.1", "lr: '0.1' is not a number"),
    ],
)
def test_a_value_of_another_type_is_told(name: str, value: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        evospace.search(**(QUICK | {"out": str(tmp_path / "run"), name: value}))
    assert not list(tmp_path.iterdir())


def test_a_members_weights_can_be_fed(run: Path) -> None:
    """Normalised as it is told, the images give the accuracy that was scored."""
    member = evospace.search(out=run, resume=True).front[-1]
    data = load_data("digits")
    assert (member.mean, member.std) == (data.train.mean, data.train.std)
    scoring = hold_out(data, seed=0).scoring.normalised_by(member.mean, member.std)
    images, labels = next(scoring.epoch(len(scoring)))
    network = member.build(supernet_weights=True).eval()
    assert float((network(images).argmax(1) == labels).float().mean()) == pytest.approx(member.accuracy)


def test_who_waits_for_a_large_pool_to_be_counted_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(SearchConfig(**QUICK))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("evospace.experiment.COUNTED_SILENTLY", 26)
    prepare(SearchConfig(**QUICK))
    out, err = capsys.readouterr()
    assert out == ""  # `plan --json` and `study` write there
    assert err.startswith("counting 27 operations at ")


@pytest.mark.parametrize("strategy", ["spos", "random", "regularized-evolution", "shrinking"])
def test_the_rivals_train_near_the_budget_as_nse_does(strategy: str) -> None:
    def near(**settings: Any) -> InBudgetGates | None:
        rule = prepare(SearchConfig(**QUICK, strategy=strategy, **settings)).bench.rule("uniform")
        assert isinstance(rule, UniformRule)
        return rule.near

    target = Budget.parse("macs=0.3M").target
    gates = near()
    assert gates is not None
    assert (gates.window.low, gates.window.high) == (0.5 * target, 1.5 * target)
    assert near(train_gates="uniform") is None
    if strategy == "shrinking":  # the last stage learns no fitness that could be drawn from
        last = near(train_gates="fitness", shrink_by="fitness")
        assert last is not None
        assert last.window == gates.window


def test_a_rounds_summary_tells_the_most_accurate_of_its_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dearer the more accurate: all that lies in the budget is on the front."""
    settings = QUICK | {"budget": "macs=0.2M..2M", "samples": 8, "batch_size": 512, "calibration_batches": 1}
    macs = prepare(SearchConfig(**settings)).problem.table
    monkeypatch.setattr(SharedWeights, "score", lambda _, architecture: macs.cost(architecture) / 1e7)
    front = evospace.search(**settings, out=tmp_path / "run", bare=True).front
    (summary,) = RunDirectory(tmp_path / "run").database.summaries()
    assert summary["front"] == len(front) > 1
    assert front[0].accuracy < summary["best"] == max(member.accuracy for member in front)
