"""Whole jobs, and a whole study that is interrupted and gone on with."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import evospace.evaluation.command
import evospace.study.directory
import evospace.study.retrained
import evospace.study.worker
from evospace.cli import main
from evospace.config import SearchConfig
from evospace.errors import BudgetError, CollapseError, DataError, EvospaceError, InterruptedRunError, UsageError
from evospace.retraining.config import RetrainConfig, load_recipe, recipe_alone
from evospace.runs.front import read_front
from evospace.runs.processes import Queue, Work
from evospace.runs.run_directory import RunDirectory
from evospace.runs.signals import Signals
from evospace.study.command import _check_first, run_study
from evospace.study.database import StudyDatabase
from evospace.study.directory import StudyDirectory
from evospace.study.plan import Job, plan_jobs
from evospace.study.retrained import is_result
from evospace.study.settings import StudySettings
from evospace.study.worker import DoJob
from tests.bad_input import folder, picture
from tests.study.made import QUICK, settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def quick(out: Path, **changes: Any) -> tuple[StudySettings, StudyDirectory, Job]:
    """A study of one job, ready to be done."""
    made = settings(
        **{
            **{"strategies": "nse", "operations": "5", "seeds": 1, "epochs": 1, "samples": 4, "batch_size": 512},
            **{"calibration_batches": 1, "retrain_epochs": 1, "retrain_batch_size": 512, "out": str(out)},
            **changes,
        }
    )
    study = StudyDirectory(out)
    study.open(made, {})
    return made, study, plan_jobs(made)[0]


def do(made: StudySettings, study: StudyDirectory, job: Job) -> None:
    study.job(job.key).mkdir(exist_ok=True)
    with Signals() as signals:
        DoJob(made, job)(study.job(job.key), signals)


def test_a_job_searches_retrains_tests_once_and_keeps_what_is_small(tmp_path: Path) -> None:
    made, study, job = quick(tmp_path / "study")
    do(made, study, job)
    found = study.database.finished()[job.key].result
    assert found is not None
    folder = study.job(job.key)
    tested = json.loads((folder / "retrained/net-00/seed-0/ema-evaluation.json").read_text())
    assert found["top1"] == tested["top1"]
    assert found["images"] == 1 * 1 * 1024  # a round of an epoch of two steps of 512 of the 1137 images
    assert found["rounds"] == 1
    assert found["scored"] >= 4
    assert found["train_seconds"] > 0
    assert found["peak_bytes"] > 50 * 2**20
    assert found["cpu_seconds"] > 0
    assert {"run.db", "front.json", "config.yaml"} <= {path.name for path in (folder / "run").iterdir()}
    assert not list(folder.rglob("*.safetensors"))
    assert not list(folder.rglob("tensorboard"))
    before = sorted(folder.rglob("*"))
    do(made, study, job)  # nothing is left to do
    assert sorted(folder.rglob("*")) == before


def test_a_failure_is_a_result_and_an_interruption_or_bad_data_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, study, job = quick(tmp_path / "study")

    def ends_with(error: Exception) -> None:
        def search(config: object, *, bare: bool) -> None:
            raise error

        monkeypatch.setattr(evospace.study.worker, "search", search)

    for error in (InterruptedRunError("asked", 143), DataError("no images")):
        ends_with(error)
        with pytest.raises(type(error)):
            do(made, study, job)
        assert not study.database.finished()
    ends_with(CollapseError("the loss is not finite"))
    do(made, study, job)
    row = study.database.finished()[job.key]
    assert row.failure == "the loss is not finite"
    assert row.result is None


def test_a_network_that_overflows_on_test_images_is_a_failure_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflows(*_: object) -> None:
        raise ValueError("gives logits that are not finite")

    monkeypatch.setattr(evospace.evaluation.command, "evaluate_network", overflows)
    made, study, job = quick(tmp_path / "study")
    do(made, study, job)
    assert "ema.safetensors: gives logits that are not finite" in (study.database.finished()[job.key].failure or "")


@pytest.mark.parametrize("error", [UsageError, CollapseError])
def test_memory_that_is_used_up_is_a_result_only_of_a_job_that_had_it_alone(error: type[EvospaceError]) -> None:
    assert is_result(error("round 0: out of memory"), alone=True)
    assert not is_result(error("round 0: out of memory"), alone=False)
    assert is_result(CollapseError("round 0: not finite"), alone=False)
    assert not is_result(UsageError("--batch-size 0"), alone=True)


def test_the_most_accurate_network_is_retrained_with_the_jobs_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[RetrainConfig]()

    def tested(config: RetrainConfig) -> dict[str, Any]:
        asked.append(config)
        return {"top1": 0.5, "retrain_seconds": 1.0}

    monkeypatch.setattr(evospace.study.worker, "retrained_and_tested", tested)
    made, study, _ = quick(
        tmp_path / "study",
        strategies="random",
        budget="macs=0.2M..2M",
        samples=40,
        seeds=2,
        batch_size=32,
        epochs=3,
        retrain_epochs=7,
        retrain_batch_size=48,
        retrain_lr=0.05,
    )
    job = plan_jobs(made)[1]
    do(made, study, job)
    members = read_front(study.job(job.key) / "run/front.json").members
    assert len(members) > 1
    (config,) = asked
    path, _, index = config.network.rpartition("#")
    assert path == str(study.job(job.key) / "run/front.json")
    assert members[int(index)].accuracy == max(member.accuracy for member in members)
    assert (config.seed, config.seeds) == (1, 1)
    assert (config.epochs, config.batch_size, config.lr) == (7, 48, 0.05)


def test_what_two_terminals_add_at_the_same_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, study, _ = quick(tmp_path / "study")
    other = threading.Thread(target=study.open, args=(replace(made, strategies="darts"), {}))
    plan = plan_jobs

    def and_the_other_begins(settings: StudySettings) -> list[Job]:
        if threading.current_thread() is not other and other.ident is None:
            other.start()
            other.join(timeout=0.2)  # as far as it comes
        return plan(settings)

    monkeypatch.setattr(evospace.study.directory, "plan_jobs", and_the_other_begins)
    study.open(replace(made, strategies="spos"), {})
    other.join()
    assert set(study.require().strategies.split(",")) == {"nse", "spos", "darts"}


def test_a_job_ended_after_its_test_goes_on_in_a_renamed_study_and_is_not_tested_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, study, job = quick(tmp_path / "study")

    def ended(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyDatabase, "add", ended)
        with pytest.raises(KeyboardInterrupt):
            do(made, study, job)
    study.path.rename(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evospace.study.retrained, "evaluate", lambda settings: pytest.fail("it is tested already"))
    renamed = StudyDirectory(Path("renamed"))
    do(replace(made, out="renamed"), renamed, job)
    assert renamed.database.done() == {job.key}


def test_a_budget_out_of_reach_is_a_failure(tmp_path: Path) -> None:
    made, study, job = quick(tmp_path / "study", budget="macs=100..200")
    do(made, study, job)
    assert "cannot be met" in str(study.database.finished()[job.key].failure)


def test_equal_seconds_are_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"spos": 10.0, "nse": 20.0}
    asked = list[str]()

    def plan(config: Any) -> tuple[list[str], dict[str, float]]:
        asked.append(config.strategy)
        return [], {"train_seconds": seconds[config.strategy]}

    monkeypatch.setattr(evospace.study.worker, "plan", plan)
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    made, study, job = quick(tmp_path / "study", strategies="spos", equal="seconds")
    for own in (10.0, 1.0):  # today, and on another day
        seconds["spos"] = own
        with pytest.raises(InterruptedRunError, match="at 2 epochs"):
            do(made, study, job)
    assert asked == ["nse", "nse", "spos", "spos"]
    decided = json.loads((study.job(job.key) / "decided.json").read_text())
    assert decided == {
        "epochs": 2,
        "estimated_seconds": 10.0,
        "estimated_reference_seconds": 20.0,
    }


def test_the_reference_keeps_its_epochs_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evospace.study.worker, "plan", lambda config: pytest.fail("it is not timed"))
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    made, study, job = quick(tmp_path / "study", strategies="nse", equal="seconds")
    with pytest.raises(InterruptedRunError, match=f"at {job.config.epochs} epochs"):
        do(made, study, job)


def test_one_estimate_of_the_reference_serves_every_strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def plan(config: Any) -> tuple[list[str], dict[str, float]]:
        asked.append(config.strategy)
        return [], {"train_seconds": 10.0}

    monkeypatch.setattr(evospace.study.worker, "plan", plan)
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    for strategy in ("spos", "darts"):
        made, study, job = quick(tmp_path / "study", strategies=strategy, equal="seconds")
        with pytest.raises(InterruptedRunError, match=f"at {job.config.epochs} epochs"):
            do(made, study, job)
    assert asked == ["nse", "nse", "spos", "spos", "darts", "darts"]


def test_a_search_that_trains_no_supernet_keeps_its_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trains: dict[str, Any] = {"nse": {"train_seconds": 10.0}, "random-draw": {}}
    monkeypatch.setattr(evospace.study.worker, "plan", lambda config: ([], trains[config.strategy]))
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    made, study, job = quick(tmp_path / "study", strategies="random-draw", equal="seconds")
    with pytest.raises(InterruptedRunError, match=f"at {job.config.epochs} epochs"):
        do(made, study, job)


@pytest.mark.parametrize("unknown", ["spos", "nse"])
def test_seconds_that_cannot_be_estimated_are_not_taken_for_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: str
) -> None:
    def plan(config: Any) -> tuple[list[str], dict[str, Any]]:
        return [], {"no_forecast": "it collapsed"} if config.strategy == unknown else {"train_seconds": 10.0}

    monkeypatch.setattr(evospace.study.worker, "plan", plan)
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    made, study, job = quick(tmp_path / "study", strategies="spos", equal="seconds")
    do(made, study, job)
    failure = study.database.finished()[job.key].failure
    assert failure == f"equal seconds: those of {unknown} cannot be estimated: it collapsed"


def interrupted(config: SearchConfig, *, bare: bool) -> None:
    raise InterruptedRunError(f"at {config.epochs} epochs", 143)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "usage: evospace study"),
        (["spacesize"], 2, "did you mean space-size"),
        (["space-size", *QUICK], 2, "--out is missing"),
        (["space-size", "--out", "s"], 2, "--data is missing"),
        (["space-size", "--out", "s", "--preset", "tinny"], 2, "did you mean tiny"),
        (["space-size", "--out", "s", *QUICK, "--strategies", "nse,spoos"], 2, "did you mean spos"),
        (["space-size", "--out", "s", *QUICK, "--operations", "27", "--epochs", "3"], 2, "totals that do"),
        (["space-size", "--out", "s", *QUICK, "--recipe", "small-image"], 2, "did you mean small-images"),
        (["space-size", "--out", "s", *QUICK, "--data", "digit"], 2, "digit"),
        (["space-size", "--out", "s", *QUICK, "--budget", "macs=100..200"], 3, "cannot be met"),
        (["space-size", "--out", "s", *QUICK, "--device", "gpu"], 2, "--device gpu: allowed are auto, cpu"),
        (["report", "nowhere"], 2, "holds no study"),
        (["ranking", "nowhere"], 2, "holds no search"),
        (["ranking", "nowhere", "--networks", "2"], 2, "--networks 2: allowed are 3 to 1000"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", *args]) == code
    seen = capsys.readouterr()
    assert said in seen.err + seen.out
    assert len(seen.err.splitlines()) <= 1
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_says_what_is_trained_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("width: 0.5\nseeds: 2\nlr: 0.2\n")
    assert main(["study", "space-size", "--out", str(tmp_path / "s"), *QUICK, "--recipe", str(recipe)]) == 2
    assert "seeds, width of `evospace retrain`, not of a recipe" in capsys.readouterr().err
    recipe.write_text("lr: 0.2\nflip: false\n")
    assert recipe_alone(str(recipe)) == replace(load_recipe("small-images"), lr=0.2, flip=False)


def test_what_a_kill_left_of_a_job_goes_with_the_next_call(tmp_path: Path) -> None:
    made, study, job = quick(tmp_path / "study", strategies="random-draw")
    do(made, study, job)
    left = study.job(job.key) / "retrained/last.safetensors"
    left.parent.mkdir(exist_ok=True)
    left.touch()
    assert run_study(made, say=lambda text: None) == 0
    assert not left.exists()


def test_other_settings_are_listed_and_a_preset_of_the_other_kind_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, study, _ = quick(tmp_path / "study")
    assert main(["study", "space-size", "--out", str(study.path), "--lr", "0.2"]) == 2
    assert "lr: 0.1 -> 0.2" in capsys.readouterr().err
    assert main(["study", "ablation", "--out", str(study.path)]) == 2
    assert "holds a study of space-size" in capsys.readouterr().err


def test_a_study_goes_on_with_the_images_it_was_begun_with_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[str]()

    def run(queue: Queue, works: Mapping[str, Work], *_: str) -> bool:
        begun.extend(works)
        return True

    monkeypatch.setattr(Queue, "run", run)
    images, out = tmp_path / "images", tmp_path / "study"
    folder(str(images), count=20)
    flags = ["--data", str(images), "--budget", "macs=1M", "--strategies", "random-draw", "--operations", "5"]
    again = ["study", "space-size", "--out", str(out)]
    assert main([*again, *flags, "--seeds", "1"]) == 0
    assert main([*again, "--seeds", "2"]) == 0
    assert begun == ["random-draw-n5-x1-s0", "random-draw-n5-x1-s0", "random-draw-n5-x1-s1"]
    picture(9999).save(images / "a" / "new.png")
    assert main(again) == 4
    assert "are not what" in capsys.readouterr().err
    assert len(begun) == 3
    stored = json.loads((out / "environment.json").read_text())
    del stored["contents"]  # as of a study that was begun before they were stored
    (out / "environment.json").write_text(json.dumps(stored))
    assert main(again) == 0
    (out / "environment.json").write_text("[]")
    assert main(again) == 4
    assert "environment.json: missing or damaged" in capsys.readouterr().err


def test_an_ablation_has_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, study, _ = quick(tmp_path / "study", kind="ablation", strategies="all", variants="no-lock", operations="4,5")
    assert main(["study", "ablation", "--out", str(study.path), "--operations", "4"]) == 2
    assert "holds an ablation of 5 operations per block, not of 4; use those" in capsys.readouterr().err
    study.open(replace(study.require(), operations="5"), {})


def test_a_budget_that_several_operations_a_block_reach_is_no_error_of_the_study() -> None:
    """Whichever strategy comes first: of one operation a block, or of several."""
    made = settings(operations="5", seeds=1, budget="macs=5M", pool="mobile27:kernel<=5:expansion<=3")
    for order in ("darts,nse", "nse,darts"):
        _check_first(plan_jobs(replace(made, strategies=order)))
    with pytest.raises(BudgetError, match="cannot be met"):
        _check_first(plan_jobs(replace(made, strategies="darts")))


def test_images_and_scores_of_all_rounds_count(tmp_path: Path) -> None:
    made, study, job = quick(tmp_path / "study", candidates=3, epochs=2, samples=8)
    do(made, study, job)
    found = study.database.finished()[job.key].result
    assert found is not None
    assert (found["rounds"], found["epochs"]) == (2, 1)
    assert found["images"] == 2 * 1 * 1024
    assert found["scored"] == sum(len(RunDirectory(study.job(job.key) / "run").database.evaluations(r)) for r in (1, 2))
    assert found["scored"] >= 8


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "evospace", "study", *args]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_study_that_is_interrupted_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    long = [*QUICK, "--epochs", "8", "--batch-size", "128"]
    subprocess.run(command("space-size", "--out", str(whole), *long), cwd=ROOT, env=environment, check=True)
    process = subprocess.Popen(
        command("space-size", "--out", str(halved), *long),
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = halved / "jobs/nse-n5-x1-s0/log.txt"
    while not log.exists() or "epoch 1/" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    _, seen = process.communicate()
    assert process.returncode == 130
    assert f"go on with: evospace study space-size --out {halved}" in seen
    assert "Traceback" not in seen
    assert "nse-n5-x1-s0" not in StudyDirectory(halved).database.done()
    again = command("space-size", "--out", str(halved))  # no other flag is needed
    subprocess.run(again, cwd=ROOT, env=environment, check=True)
    results = [StudyDirectory(path).database.finished() for path in (whole, halved)]
    for key in ("nse-n5-x1-s0", "random-draw-n5-x1-s0"):
        first, second = (found[key].result for found in results)
        assert first is not None
        assert second is not None
        for name in ("top1", "score", "images", "architecture"):
            assert first[name] == second[name], (key, name)
        assert first["images"] == (0 if key.startswith("random-draw") else 8 * 1024)  # 8 steps of 128


@pytest.mark.slow
def test_a_ranking_is_told_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, study, job = quick(tmp_path / "study", samples=12)
    do(made, study, job)
    run = study.job(job.key) / "run"
    capsys.readouterr()
    flags = ["--epochs", "1", "--batch-size", "512", "--json"]
    assert main(["study", "ranking", str(run), "--networks", "3", *flags]) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["networks"]) == 3
    assert first == json.loads((run / "ranking.json").read_text())
    assert (run / "ranking.png").stat().st_size > 1000
    assert main(["study", "ranking", str(run), "--networks", "3", *flags, "--lr", "0.2"]) == 2
    assert "lr: 0.1 -> 0.2" in capsys.readouterr().err
    assert main(["study", "ranking", str(run), "--networks", "5", *flags]) == 0
    more = json.loads(capsys.readouterr().out)
    ends = {entry["key"] for entry in (first["networks"][0], first["networks"][-1])}
    assert ends <= {entry["key"] for entry in more["networks"]}
    assert main(["study", "ranking", str(run), "--networks", "99", *flags]) == 2
    capsys.readouterr()

    def breaks(queue: Queue, works: dict[str, Any], what: str, again: str) -> bool:
        for key in works:
            queue.on_end(key, 4)
        return True

    monkeypatch.setattr(Queue, "run", breaks)
    (run / "ranking.json").unlink()
    assert main(["study", "ranking", str(run), "--networks", "6", *flags]) == 4
    assert "trainings ended without a result (see above; the first: " in capsys.readouterr().err
    assert json.loads((run / "ranking.json").read_text())["networks"]  # those that were done before


@pytest.mark.parametrize("reference", [(20.0, 40.0), (40.0, 20.0)])
@pytest.mark.parametrize("own", [(10.0, 30.0), (30.0, 10.0)])
def test_the_shorter_of_two_estimates_counts(
    own: tuple[float, float], reference: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"spos": iter(own), "nse": iter(reference)}

    def plan(config: SearchConfig) -> tuple[list[str], dict[str, float]]:
        return [], {"train_seconds": next(seconds[config.strategy])}

    monkeypatch.setattr(evospace.study.worker, "plan", plan)
    monkeypatch.setattr(evospace.study.worker, "search", interrupted)
    made, study, job = quick(tmp_path / "study", strategies="spos", equal="seconds")
    with pytest.raises(InterruptedRunError, match="at 2 epochs"):
        do(made, study, job)
    decided = json.loads((study.job(job.key) / "decided.json").read_text())
    assert decided == {"epochs": 2, "estimated_seconds": 10.0, "estimated_reference_seconds": 20.0}
