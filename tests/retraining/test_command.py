"""Retraining from the command line: what it writes, how it goes on, what it refuses."""

import errno
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evospace.retraining.command
from evospace.cli import main
from evospace.data import InMemorySplit
from evospace.errors import CollapseError, DataError
from evospace.retraining.config import RetrainConfig
from evospace.retraining.job import Say, first_weights, train_job
from evospace.retraining.work import Retraining, prepare
from evospace.runs.checkpoints import load_checkpoint, save_checkpoint
from evospace.runs.contents import place_of
from evospace.runs.database import RunDatabase
from evospace.runs.files import write_json
from evospace.runs.lock import claimed
from evospace.runs.network_file import load_network, save_description, save_network
from evospace.runs.processes import Queue, Work
from evospace.runs.retrain_directory import Job
from evospace.runs.signals import Signals
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.skeleton import make_skeleton
from evospace.training.network_trainer import NetworkTrainer
from tests.bad_input import folder, picture
from tests.retraining.runs import FLAGS, Moments, front, weights_in

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A retraining of two networks that nothing disturbed, and how many moments it has."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(patch)
        path = front(folder / "front.json")
        assert main(["retrain", str(path), *FLAGS, "--out", str(folder / "out")]) == 0
    return folder, moments.count


@pytest.mark.parametrize(
    ("searched", "given", "flip"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_images_that_the_search_did_not_mirror_are_not_mirrored(
    searched: bool, given: bool, flip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the folder is named, and of a description, too, that a retraining leaves."""
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("images", "others"):
        folder(str(tmp_path / name), classes=tuple("0123456789"))
    monkeypatch.chdir(tmp_path)
    path = front(tmp_path / "run/front.json", data="images", channels=3)
    (tmp_path / "run/run.db").touch()
    monkeypatch.setattr(RunDatabase, "summaries", lambda self: [{"round": 1}])
    (tmp_path / "run/config.yaml").write_text(f"data: images\nflip: {str(searched).lower()}\n")
    write_json(tmp_path / "run/environment.json", {"contents": {}, "place": place_of("images")})
    work = prepare(RetrainConfig(network=str(path), flip=given))
    assert isinstance(work.data.train, InMemorySplit)
    assert work.data.train.augmentation is not None
    assert work.data.train.augmentation.flip == work.config.flip == work.origin.flip == flip
    save_description(tmp_path / "network.json", work.networks[0], work.data_seed, work.origin)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert prepare(RetrainConfig(network=str(path), flip=given, data="../images")).config.flip == flip
    assert prepare(RetrainConfig(network=str(path), flip=given, data="../others")).config.flip == given
    described = str(tmp_path / "network.json")
    assert prepare(RetrainConfig(network=described, data="../images")).config.flip == flip
    assert prepare(RetrainConfig(network=described, data="../others")).config.flip


def test_a_copied_front_knows_the_images_of_its_search(tmp_path: Path) -> None:
    images = str(tmp_path / "images")
    folder(images, classes=tuple("0123456789"))
    path = str(front(tmp_path / "front.json", data=images, channels=3))
    assert prepare(RetrainConfig(network=path)).config.flip  # of an earlier version
    origin = prepare(RetrainConfig(network=path, flip=False)).origin
    assert origin.test
    front(tmp_path / "front.json", data=images, channels=3, origin=origin)
    assert not prepare(RetrainConfig(network=path)).config.flip
    folder(images, classes=tuple("0123456789"), first=5000, count=20)
    with pytest.raises(DataError, match="its test images are not those that the search"):
        prepare(RetrainConfig(network=path))


def test_what_was_trained_unmirrored_is_tuned_unmirrored(undisturbed: tuple[Path, int], tmp_path: Path) -> None:
    sound = load_network(undisturbed[0] / "out/net-00/seed-0/last.safetensors")
    recipe = {**sound.training["recipe"], "flip": False}
    path = str(tmp_path / "tuned.safetensors")
    save_network(Path(path), replace(sound, training={**sound.training, "recipe": recipe}))
    assert not prepare(RetrainConfig(init=path)).config.flip
    assert not prepare(RetrainConfig(network=path)).config.flip
    folder(str(tmp_path / "others"), classes=tuple("0123456789"))
    assert prepare(RetrainConfig(network=path, data=str(tmp_path / "others"))).config.flip


def test_every_network_gets_its_weights_a_result_and_a_description(undisturbed: tuple[Path, int]) -> None:
    folder = undisturbed[0] / "out"
    assert sorted(weights_in(folder)) == [
        f"net-{i:02d}/seed-0/{name}.safetensors" for i in (0, 1) for name in ("ema", "last")
    ]
    stored = load_network(folder / "net-01/seed-0/ema.safetensors")
    last = load_network(folder / "net-01/seed-0/last.safetensors")
    assert any(not torch.equal(value, last.weights[key]) for key, value in stored.weights.items())
    assert stored.described.name.endswith("front.json#1")
    assert stored.training["weights"] == "ema"
    assert stored.training["recipe"]["epochs"] == 2
    assert len(stored.described.mean) == 1
    assert stored.build()(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    result = json.loads((folder / "net-01/seed-0/result.json").read_text())
    assert result["epochs"] == 2
    assert result["macs"] > 0
    assert not list(folder.rglob("training-*"))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_killed_retraining_goes_on_to_the_same_bits(seed: int, undisturbed: tuple[Path, int], tmp_path: Path) -> None:
    folder, count = undisturbed
    at = int(np.random.default_rng(seed).integers(count))
    args = [sys.executable, "-m", "tests.retraining.runs", str(at), str(folder / "front.json"), str(tmp_path / "out")]
    ended = subprocess.run(args, cwd=ROOT, capture_output=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    again = ["retrain", str(folder / "front.json"), *FLAGS, "--out", str(tmp_path / "out"), "--resume"]
    assert main(again) == 0
    assert weights_in(tmp_path / "out") == weights_in(folder / "out")


def test_ctrl_c_saves_and_says_how_to_go_on(
    undisturbed: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, count = undisturbed
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        Moments(patch, count // 2, lambda: signal.raise_signal(signal.SIGINT))
        assert main(["retrain", str(folder / "front.json"), *FLAGS, "--out", str(out)]) == 130
    assert f"evospace retrain --out {out} --resume" in capsys.readouterr().err
    assert main(["retrain", "--out", str(out), "--resume"]) == 0  # no other flag is needed
    assert weights_in(out) == weights_in(folder / "out")


def test_several_at_a_time_come_to_the_same_bits(undisturbed: tuple[Path, int], tmp_path: Path) -> None:
    folder = undisturbed[0]
    args = [str(folder / "front.json"), *FLAGS, "--out", str(tmp_path / "out"), "--jobs", "2"]
    command = [sys.executable, "-m", "evospace", "retrain", *args]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert weights_in(tmp_path / "out") == weights_in(folder / "out")


def test_a_training_begins_on_nothing_else_than_its_queue_was_made_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out, refused = front(tmp_path / "front.json"), tmp_path / "out", list[str]()

    def run(queue: Queue, works: Mapping[str, Work], *_: str) -> bool:
        found = json.loads(path.read_text())
        found["front"].reverse()  # as if the search had found another front meanwhile
        path.write_text(json.dumps(found))
        for name, work in works.items():
            with pytest.raises(DataError, match="network 00"):
                work(out / name, Signals())
            refused.append(name)
        return True

    monkeypatch.setattr(Queue, "run", run)
    assert main(["retrain", str(path), *FLAGS, "--jobs", "2", "--out", str(out)]) == 0
    assert refused == ["net-00/seed-0", "net-01/seed-0"]
    assert not list(out.rglob("*.safetensors"))


def test_ctrl_c_reaches_trainings_in_processes_as_one_line(undisturbed: tuple[Path, int], tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["retrain", str(undisturbed[0] / "front.json"), "--epochs", "100000", "--out", str(out), "--jobs", "2"]
    command = [sys.executable, "-m", "evospace", *args]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    begun = set[str]()
    while len(begun) < 2:  # both have trained an epoch
        line = process.stdout.readline()
        assert line
        begun |= {line.split()[0]} if "epoch 1/" in line else set()
    os.killpg(process.pid, signal.SIGINT)
    _, seen = process.communicate()
    assert process.returncode == 130
    assert f"go on with: evospace retrain --out {out} --resume" in seen
    assert "Traceback" not in seen
    assert len(list(out.rglob("training-*.safetensors"))) >= 2


def test_two_processes_do_not_train_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = front(tmp_path / "front.json", members=1), tmp_path / "out"
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    (out / "net-00/seed-0/result.json").unlink()
    with claimed(out / "net-00/seed-0"):
        assert main(["retrain", "--out", str(out), "--resume"]) == 2
    said = "1 of 1 trainings are done by another process (the first: net-00/seed-0); wait for it, or end it"
    assert said in capsys.readouterr().err


def begun(at: Path) -> Path:
    """A folder in which two trainings are to be done, each again."""
    path, out = front(at / "front.json"), at / "out"
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    for result in out.glob("net-*/seed-0/result.json"):
        result.unlink()
    return out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_processes_that_share_a_queue_call_no_training_failed(
    jobs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = begun(tmp_path)
    with claimed(out / "net-01/seed-0"):
        assert main(["retrain", "--out", str(out), "--resume", "--jobs", jobs]) == 2
    seen = capsys.readouterr().err
    assert seen.splitlines()[-1].startswith("evospace: error: 1 of 2 trainings are done by another process")
    assert "failed" not in seen
    assert (out / "net-00/seed-0/result.json").exists()
    assert not (out / "net-01/seed-0/result.json").exists()


def test_one_that_another_process_ends_meanwhile_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = begun(tmp_path)

    def and_the_other(work: Retraining, job: Job, signals: Signals, say: Say) -> None:
        train_job(work, job, signals, say)
        train_job(work, Job(out, 1, 0), signals, say)

    monkeypatch.setattr(evospace.retraining.command, "train_job", and_the_other)
    with claimed(out / "net-01/seed-0"):
        assert main(["retrain", "--out", str(out), "--resume"]) == 0
    assert f"wrote {out}" in capsys.readouterr().out


def test_every_process_of_a_queue_finds_the_folder_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = prepare(RetrainConfig(network=str(front(tmp_path / "front.json"))))
    assert prepare(work.config).root == work.root != Path()


def test_what_another_process_has_finished_is_not_trained_anew(tmp_path: Path) -> None:
    path, out = front(tmp_path / "front.json", members=1), tmp_path / "out"
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    before = weights_in(out)
    nothing: Any = None
    train_job(nothing, Job(out, 0, 0), nothing, print)
    assert weights_in(out) == before


def test_a_finished_retraining_exits_at_once_and_takes_more_seeds(
    undisturbed: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = front(tmp_path / "front.json", members=1)
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    before = weights_in(out)
    assert main(["retrain", "--out", str(out), "--resume", "--seeds", "2"]) == 0
    assert "1 of 2 trainings to do" in capsys.readouterr().out
    after = weights_in(out)
    assert before.items() < after.items()
    assert len(after) == 4
    assert main(["retrain", "--out", str(out), "--resume"]) == 0  # goes on with what was asked for last
    assert "0 of 2 trainings to do" in capsys.readouterr().out


def test_other_settings_and_other_networks_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = front(tmp_path / "front.json", members=1), tmp_path / "out"
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main(["retrain", str(path), *FLAGS, "--lr", "0.2", "--out", str(out), "--resume"]) == 2
    assert "lr: 0.05 -> 0.2" in capsys.readouterr().err
    front(path, members=2)
    assert main(["retrain", "--out", str(out), "--resume"]) == 4
    assert "network 01: absent -> " in capsys.readouterr().err


def test_a_retraining_takes_the_same_images_from_wherever_they_lie_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder("images", count=12)
    folder("others", count=14)
    network = front(tmp_path / "front.json", members=1)
    begin = ["retrain", str(network), "--data", "images", "--epochs", "1", "--batch-size", "8", "--out", "out"]
    assert main(begin) == 0
    before = weights_in(tmp_path / "out")
    Path("images").rename("moved")
    assert main(["retrain", "--out", "out", "--resume", "--seeds", "2"]) == 2
    assert "no data set or folder 'images'" in (said := capsys.readouterr().err)
    assert "with --data where they lie now" in said
    assert main(["retrain", "--out", "out", "--resume", "--seeds", "2", "--data", "others"]) == 4
    assert "the data or the operations are not what out was begun with" in capsys.readouterr().err
    assert main(["retrain", "--out", "out", "--resume", "--seeds", "2", "--data", "moved"]) == 0
    assert before.items() < weights_in(tmp_path / "out").items()


def test_fine_tuning_takes_all_weights_but_a_head_of_other_classes(
    undisturbed: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = undisturbed[0] / "out/net-00/seed-0/last.safetensors"
    images = tmp_path / "images"
    for label, name in enumerate(("cat", "dog", "owl")):
        (images / name).mkdir(parents=True)
        for i in range(6):
            picture(10 * label + i, (8, 8), "L").save(images / name / f"{i}.png")
    args = ["retrain", "--init", str(checkpoint), "--data", str(images), "--epochs", "1", "--lr", "1e-7"]
    assert main([*args, "--out", str(tmp_path / "out"), "--batch-size", "4"]) == 0
    tuned = load_network(tmp_path / "out/net-00/seed-0/last.safetensors")
    source = load_network(checkpoint)
    assert tuned.described.class_names == ("cat", "dog", "owl")
    assert tuned.described.mean == source.described.mean  # what the weights are used to
    assert tuned.weights["head.4.weight"].shape[0] == 3
    for key, value in source.weights.items():
        if not key.startswith("head.4") and "running" not in key and value.is_floating_point():
            torch.testing.assert_close(tuned.weights[key], value, atol=1e-4, rtol=1e-4)


def test_images_are_normalised_as_the_checkpoint_says(
    undisturbed: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = load_network(undisturbed[0] / "out/net-00/seed-0/last.safetensors")
    other = replace(sound, described=replace(sound.described, mean=(0.125,), std=(0.75,)))
    save_network(tmp_path / "other.safetensors", other)
    seen: list[object] = []

    def spy(**settings: Any) -> NetworkTrainer:
        seen.append((settings["train"].mean, settings["train"].std))
        return NetworkTrainer(**settings)

    monkeypatch.setattr("evospace.retraining.job.NetworkTrainer", spy)
    args = ["--init", str(tmp_path / "other.safetensors"), "--epochs", "1", "--batch-size", "512"]
    assert main(["retrain", *args, "--out", str(tmp_path / "out")]) == 0
    assert seen == [((0.125,), (0.75,))]
    assert load_network(tmp_path / "out/net-00/seed-0/last.safetensors").described.std == (0.75,)


def test_fine_tuning_keeps_the_division_of_a_folder_that_the_weights_were_trained_with(
    undisturbed: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = load_network(undisturbed[0] / "out/net-00/seed-0/last.safetensors")
    save_network(tmp_path / "other.safetensors", replace(sound, training={**sound.training, "data_seed": 7}))
    network = str(undisturbed[0] / "out/net-00/network.json")  # knows no seed
    args = [network, "--init", str(tmp_path / "other.safetensors"), "--epochs", "1", "--batch-size", "512"]
    assert main(["retrain", *args, "--out", str(tmp_path / "out")]) == 0
    assert load_network(tmp_path / "out/net-00/seed-0/last.safetensors").training["data_seed"] == 7
    moved = (tmp_path / "other.safetensors").rename(tmp_path / "moved.safetensors")
    again = ["retrain", "--out", str(tmp_path / "out"), "--resume"]
    assert main(again) == 4
    assert main([*again, "--init", str(moved)]) == 0
    save_network(moved, sound)
    capsys.readouterr()
    assert main([*again, "--seeds", "2"]) == 4
    assert "the networks or their first weights are not what" in capsys.readouterr().err


def test_one_training_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train_job

    def fails_first(work: Any, job: Any, *rest: Any) -> None:
        if job.index == 0:
            raise CollapseError("the loss is not finite")
        original(work, job, *rest)

    monkeypatch.setattr(evospace.retraining.command, "train_job", fails_first)
    path = front(tmp_path / "front.json")
    assert main(["retrain", str(path), *FLAGS, "--out", str(tmp_path / "out")]) == 1
    seen = capsys.readouterr().err
    assert "net-00/seed-0: the loss is not finite" in seen
    assert "1 of 2 trainings failed (see above); the others are stored in" in seen
    assert (tmp_path / "out/net-01/seed-0/result.json").exists()
    monkeypatch.undo()
    assert main(["retrain", "--out", str(tmp_path / "out"), "--resume", "--recipe", "imagenet"]) == 2
    assert "--recipe has no effect" in capsys.readouterr().err


def test_a_network_that_memory_does_not_hold_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: NetworkTrainer) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(NetworkTrainer, "start", full)
    path = front(tmp_path / "front.json", members=1)
    assert main(["retrain", str(path), *FLAGS, "--out", str(tmp_path / "out")]) == 2
    assert "out of memory in net-00/seed-0 at --batch-size 512; begin again" in capsys.readouterr().err


def test_a_full_disk_is_told_in_a_line_whatever_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("evospace.retraining.job.SummaryWriter.add_scalar", full)
    path = front(tmp_path / "front.json", members=1)
    assert main(["retrain", str(path), *FLAGS, "--out", str(tmp_path / "out")]) == 1
    seen = capsys.readouterr().err
    assert "No space left on device; nothing stored before is lost" in seen
    both = front(tmp_path / "both.json")
    assert main(["retrain", str(both), *FLAGS, "--out", str(tmp_path / "both")]) == 1
    assert capsys.readouterr().err.endswith("error: 2 of 2 trainings failed (see above)\n")
    assert len([line for line in seen.splitlines() if "warning: 4 steps in all" not in line]) == 1


def test_what_a_kill_left_before_anything_was_begun_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.environment.json.k3j2x").touch()
    path = front(tmp_path / "front.json", members=1)
    assert main(["retrain", str(path), *FLAGS, "--epochs", "1", "--out", str(tmp_path / "out")]) == 0


def test_the_weights_of_another_network_are_refused(
    undisturbed: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = undisturbed[0] / "out/net-00/seed-0/last.safetensors"
    member = f"{undisturbed[0] / 'front.json'}#1"
    assert main(["retrain", member, "--init", str(checkpoint), *FLAGS, "--out", str(tmp_path / "out")]) == 4
    assert re.search(r"weights of another network: blocks\.0.* is (missing|foreign)", capsys.readouterr().err)


class Canary:
    """Leaves a file where a pickle is executed."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


@pytest.mark.parametrize("command", ["evaluate", "retrain", "show"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pickle", "not a checkpoint"),
        ("torch", "not a checkpoint"),
        ("empty", "not a checkpoint"),
        ("truncated", "damaged"),
        ("flipped", "damaged"),
        ("supernet", "not of a retrained network"),
        ("missing", "missing.safetensors"),
    ],
)
def test_a_foreign_checkpoint_is_named_and_nothing_is_executed(
    command: str,
    name: str,
    said: str,
    undisturbed: tuple[Path, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}.safetensors")
    sound = (undisturbed[0] / "out/net-00/seed-0/last.safetensors").read_bytes()
    if name == "pickle":
        path.write_bytes(pickle.dumps(Canary()))
    elif name == "torch":
        torch.save({"weights": torch.zeros(2)}, path)
    elif name == "supernet":
        save_checkpoint(path, {"stem": torch.zeros(2)}, {"round": 1})
    elif name != "missing":
        flipped = sound[:-9] + bytes([sound[-9] ^ 1]) + sound[-8:]
        path.write_bytes({"empty": b"", "truncated": sound[:-1000], "flipped": flipped}[name])
    args = {"retrain": ["--data", "digits", "--out", "out"], "evaluate": ["--data", "digits"], "show": []}[command]
    assert main([command, str(path), *args]) in (2, 4)
    seen = capsys.readouterr().err
    assert len(seen.splitlines()) == 1
    assert said in seen
    assert not Path("canary").exists()
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nsenet", "--epochs", "1"], 2, "--data is missing"),
        (["--data", "digits"], 2, "name a network"),
        (["nosuch", "--data", "digits"], 2, "neither a published network"),
        (["nsenet", "--data", "digits", "--init", "supernet"], 2, "not of a run"),
        (["nsenet", "--data", "digits", "--aa", "auto"], 2, "--aa"),
        (["nsenet", "--data", "digits", "--lr", "nan"], 2, "--lr"),
        (["nsenet", "--data", "digits", "--fit-budget", "latency=3ms"], 2, "--fit-budget"),
        (["nsenet", "--data", "digits", "--fit-budget", "macs=1M", "--width", "2"], 2, "not both"),
        (["nsenet", "--data", "digits", "--image-size", "32", "--fit-budget", "macs=1"], 3, "costs"),
        (["nsenet", "--data", "digits", "--recipe", "small-image"], 2, "did you mean small-images"),
        (["nsenet", "--data", "nowhere"], 2, "no data set"),
    ],
)
def test_bad_settings_get_one_line(
    args: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retrain", *args, "--out", str(tmp_path / "out")]) == code
    seen = capsys.readouterr().err
    assert said in seen
    assert len(seen.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_huge_network_is_refused_before_memory_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    huge = replace(skeleton, stages=tuple(replace(stage, channels=65536) for stage in skeleton.stages))
    architecture = Architecture.of([["mbconv_k3_e6"]] * len(skeleton.blocks()))
    described = DescribedNetwork(
        name="huge", skeleton=huge, architecture=architecture, class_names=tuple("0123456789"), data="digits"
    )
    save_description(tmp_path / "network.json", described)
    assert main(["retrain", str(tmp_path / "network.json"), "--out", str(tmp_path / "out")]) == 4
    seen = capsys.readouterr().err
    assert "a network of more than 2,000,000,000 parameters" in seen
    assert len(seen.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_no_training_outlives_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C raises in the queue, wherever it is; the trainings never see one."""
    begun: list[BaseProcess] = []

    def once(sentinels: list[Any], timeout: float) -> list[Any]:
        if not begun:
            begun.extend(multiprocessing.active_children())
            raise KeyboardInterrupt
        return wait(sentinels, timeout)

    monkeypatch.setattr("evospace.runs.processes.wait", once)
    path = front(tmp_path / "front.json")
    args = ["retrain", str(path), "--epochs", "100000", "--out", str(tmp_path / "out"), "--jobs", "2"]
    assert main(args) == 130
    assert len(begun) == 2
    assert not any(process.is_alive() for process in begun)


def test_a_supernets_weights_keep_their_normalisation_and_get_a_head_of_other_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, others = tmp_path / "run", tmp_path / "others"
    folder(str(tmp_path / "images"), count=20)
    folder(str(others), count=30)
    (others / "b").rename(others / "other")
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    assert main(["search", "--data", f"{tmp_path}/images", "--budget", "macs=1M", *quick, "--out", str(run)]) == 0
    searched = json.loads((run / "front.json").read_text())
    for data, kept in ((tmp_path / "images", True), (others, False)):
        work = prepare(RetrainConfig(network=f"{run}#0", init="supernet", data=str(data)))
        network = work.networks[0]
        assert (list(network.mean), list(network.std)) == (searched["mean"], searched["std"])
        weights = first_weights(work, work.jobs[0]).state_dict()
        stored, _ = load_checkpoint(run / "front/round-01-0.safetensors")
        head = [key for key in stored if key.startswith("head.4.")]
        assert head
        assert all(torch.equal(value, stored[key]) for key, value in weights.items() if key not in head)
        assert all(torch.equal(weights[key], stored[key]) for key in head if key.endswith("weight")) == kept
    assert main(["retrain", f"{run}#0", "--init", "supernet", "--data", "digits", "--out", f"{tmp_path}/out"]) == 4
    assert "--init supernet: trained on 3 image channel(s), digits has 1" in capsys.readouterr().err


def test_a_retraining_in_a_run_goes_on_by_the_runs_name_and_misses_what_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    assert main(["search", "--data", "digits", "--budget", "macs=1M", *quick, "--out", str(run)]) == 0
    assert main(["retrain", str(run), "--epochs", "1", "--batch-size", "512"]) == 0
    assert main(["retrain", str(run), "--resume"]) == 0
    assert main(["retrain", str(run), "--resume", "--lr", "0.7"]) == 2
    assert "lr: 0.1 -> 0.7" in capsys.readouterr().err
    shutil.rmtree(run / "front")
    assert main(["retrain", str(run), "--init", "supernet", "--out", str(tmp_path / "out")]) == 4
    assert "round-01-0.safetensors is not there; put it back" in capsys.readouterr().err


def test_a_folder_divided_anew_since_the_search_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    folder(str(images), count=20)
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    searched = ["search", "--data", str(images), "--budget", "macs=1M", *quick, "--out", str(run)]
    assert main(searched) == 0
    picture(9999).save(images / "a" / "new.png")
    assert main(["retrain", str(run), "--epochs", "1", "--data", f"{images}/../images"]) == 4
    assert "its test images are not those that the search" in capsys.readouterr().err
    assert not (run / "retrained").exists()


def test_a_folder_divided_anew_since_the_training_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(str(tmp_path / "images"), count=20)
    monkeypatch.chdir(tmp_path)
    network = front(tmp_path / "front.json", members=1, data="images", channels=3)
    quick = ["--epochs", "1", "--batch-size", "16"]
    assert main(["retrain", str(network), *quick, "--out", "first"]) == 0
    checkpoint = tmp_path / "first/net-00/seed-0/last.safetensors"
    again = ["retrain", "--init", str(checkpoint), *quick, "--out"]
    assert main([*again, "second"]) == 0
    picture(9999).save(tmp_path / "images/a/new.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for named in (["--init", str(checkpoint)], [str(checkpoint)], [str(tmp_path / "first/net-00/network.json")]):
        assert main(["retrain", *named, *quick, "--data", "../images", "--out", "third"]) == 4
        assert "its test images are not those that the search or training" in capsys.readouterr().err
    assert main(["evaluate", str(checkpoint), "--data", "../images"]) == 4
    assert "may have been trained on" in capsys.readouterr().err
    assert not Path("third").exists()


def test_resume_without_a_folder_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "--resume"]) == 2
    assert "--resume needs --out with the folder of the retraining" in capsys.readouterr().err


def test_a_run_that_was_copied_goes_on_in_the_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    quick = ["--epochs", "1", "--samples", "6", "--max-rounds", "1", "--calibration-batches", "1"]
    assert main(["search", "--data", "digits", "--budget", "macs=1M", *quick, "--out", str(run)]) == 0
    assert main(["retrain", f"{run}#0", "--epochs", "1", "--batch-size", "512", "--out", f"{run}/retrained"]) == 0
    shutil.copytree(run, copy)
    before = weights_in(run)
    assert main(["retrain", f"{copy}#0", "--resume", "--seeds", "2"]) == 0
    assert weights_in(run) == before
    assert (copy / "retrained/net-00/seed-1/last.safetensors").is_file()
    capsys.readouterr()
    assert main(["evaluate", str(copy / "retrained")]) == 0
    assert "2 seeds)" in capsys.readouterr().out  # one network, though called otherwise when each was trained


def test_a_training_whose_weights_were_removed_is_told_and_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = front(tmp_path / "front.json")
    assert main(["retrain", str(path), *FLAGS, "--out", str(out)]) == 0
    before = weights_in(out)
    for file in (out / "net-01/seed-0").glob("*.safetensors"):
        file.unlink()
    capsys.readouterr()
    assert main(["evaluate", str(out)]) == 0
    seen = capsys.readouterr()
    text = "not tested, as there are no weights: net-01/seed-0; train what is missing with: evospace retrain --out"
    assert text in seen.err
    again = ["retrain", "--out", str(out), "--resume"]
    with pytest.MonkeyPatch.context() as patch:
        step = torch.optim.SGD.step

        def interrupted(*args: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return step(*args)

        patch.setattr(torch.optim.SGD, "step", interrupted)
        assert main(again) == 130
    assert list((out / "net-01/seed-0").glob("training-*.safetensors"))  # which do not make it a finished one
    capsys.readouterr()
    assert main(again) == 0
    assert "1 of 2 trainings to do" in capsys.readouterr().out
    assert weights_in(out) == before
