"""`evospace evaluate`: the only command that reads test images."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evospace.data.splits
from evospace.cli import main
from evospace.errors import DiskError
from evospace.evaluation.metrics import evaluate_network
from evospace.report.confusion import confusion_csv, draw_confusion
from evospace.runs.files import write_bytes
from evospace.runs.network_file import load_network, save_network
from tests.bad_input import picture
from tests.retraining.runs import FLAGS, front


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("evospace.evaluation.metrics.SECONDS", 0.01)
    monkeypatch.setattr("evospace.evaluation.command.draw_confusion", lambda path, *shown: write_bytes(path, b"drawn"))


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks with two seeds each, on digits."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("retrained")
    path = front(folder / "front.json")
    assert main(["retrain", str(path), *FLAGS, "--seeds", "2", "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_a_folder_is_tested_whole_and_its_spread_is_told(
    retrained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["evaluate", str(retrained)]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith(" "))
    assert "(ema): top-1" in out
    assert "2 seeds" in out
    entry = json.loads((retrained / "net-01/seed-1/ema-evaluation.json").read_text())
    assert entry["images"] == 360  # a fifth of digits
    assert (entry["seed"], entry["weights"], entry["data"], entry["format"]) == (1, "ema", "digits", 1)
    assert 0 <= entry["top1"] <= entry["top5"] <= 1
    assert entry["latency_ms"] > 0
    assert (retrained / "net-01/seed-1/ema-confusion.png").read_bytes() == b"drawn"
    with (retrained / "net-01/seed-1/ema-confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    counts = np.array([row[1:] for row in rows], dtype=int)
    assert header[1:] == [row[0] for row in rows] == [str(digit) for digit in range(10)]
    assert (counts.sum(), np.trace(counts)) == (360, round(360 * entry["top1"]))


def test_a_table_of_confusions_has_true_classes_in_rows() -> None:
    table = confusion_csv(torch.tensor([[5, 2], [0, 7]]), ['a, "b"', "猫"])
    assert list(csv.reader(table.splitlines()))[1:] == [['a, "b"', "5", "2"], ["猫", "0", "7"]]
    header, *_ = csv.reader(confusion_csv(torch.eye(4).long(), ["=1+1", "-2.5", "@sum", "-x"]).splitlines())
    assert header[1:] == ["'=1+1", "-2.5", "'@sum", "'-x"]


def test_a_class_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    draw_confusion(tmp_path / "confusion.png", torch.eye(2), ["$1_$", "猫"])
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_one_checkpoint_as_json(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(retrained / "net-00/seed-0/last.safetensors"), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["evaluations"]
    assert entry["checkpoint"].endswith("net-00/seed-0/last.safetensors")


def test_retraining_never_touches_the_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def epoch(self: evospace.data.splits.InMemorySplit, *args: object, **kwargs: object) -> object:
        assert len(self) != 360, "the test images were read"
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    original = evospace.data.splits.InMemorySplit.epoch
    monkeypatch.setattr(evospace.data.splits.InMemorySplit, "epoch", epoch)
    path = front(tmp_path / "front.json", members=1)
    assert main(["retrain", str(path), *FLAGS, "--out", str(tmp_path / "out")]) == 0


def test_images_are_normalised_as_the_checkpoint_says(
    retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = load_network(retrained / "net-00/seed-0/last.safetensors")
    other = replace(sound, described=replace(sound.described, mean=(0.125,), std=(0.75,)))
    save_network(tmp_path / "other.safetensors", other)
    seen: list[object] = []

    def spy(network: Any, split: Any, *rest: Any) -> Any:
        seen.append((split.mean, split.std, len(split)))
        return evaluate_network(network, split, *rest)

    monkeypatch.setattr("evospace.evaluation.command.evaluate_network", spy)
    assert main(["evaluate", str(tmp_path / "other.safetensors")]) == 0
    assert seen == [((0.125,), (0.75,), 360)]


def test_another_view_than_the_training_had_is_told(
    retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = load_network(retrained / "net-00/seed-0/last.safetensors")
    for crop, told in ((0.875, True), (1.0, False), ("all", False)):
        path = tmp_path / f"{crop}.safetensors"
        save_network(path, replace(stored, training={**stored.training, "crop_pct": crop}))
        assert main(["evaluate", str(path)]) == 0
        seen = capsys.readouterr()
        text = " ".join((seen.out + seen.err).split())
        assert ("the middle 100.0% of each image of digits is seen" in text) == told
        assert ("was trained for 87.5%" in text) == told


def test_images_that_changed_since_the_training_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    for label, name in enumerate(("cat", "dog")):
        (images / name).mkdir(parents=True)
        for i in range(10):
            picture(100 * label + i, (8, 8), "L").save(images / name / f"{i}.png")
    path, out = front(tmp_path / "front.json", members=1, data=str(images)), tmp_path / "out"
    assert main(["retrain", str(path), "--epochs", "1", "--batch-size", "4", "--out", str(out)]) == 0
    assert main(["evaluate", str(out)]) == 0
    picture(99, (8, 8), "L").save(images / "cat" / "new.png")  # which divides the folder anew
    assert main(["evaluate", str(out)]) == 4
    assert "may have been trained on" in capsys.readouterr().err
    assert main(["evaluate", str(out), "--data", f"{images}/../images"]) == 4  # the same folder in other words
    assert "may have been trained on" in capsys.readouterr().err
    moved = images.rename(tmp_path / "moved")
    assert main(["evaluate", str(out)]) == 2
    assert "with --data where they lie now" in capsys.readouterr().err
    checkpoint = str(out / "net-00/seed-0/last.safetensors")
    again = ["retrain", "--init", checkpoint, "--epochs", "1", "--batch-size", "4", "--data", str(moved), "--out"]
    doubt = "moved and changed, the network may have been searched or trained on that part"
    assert main(["evaluate", str(out), "--data", str(moved)]) == 0
    assert capsys.readouterr().err.count(doubt) == 1  # for both kinds of weights
    assert main([*again, str(tmp_path / "again")]) == 0
    assert doubt in capsys.readouterr().err
    (moved / "cat" / "new.png").unlink()  # as it was: divided as it was
    assert main(["evaluate", str(out), "--data", str(moved)]) == 0
    assert main([*again, str(tmp_path / "once-more")]) == 0
    seen = capsys.readouterr()
    assert doubt not in seen.out + seen.err
    for part in ("train", "test"):  # what has a test of its own is not divided
        shutil.copytree(moved, tmp_path / "parts" / part)
    assert main(["evaluate", str(out), "--data", str(tmp_path / "parts")]) == 0
    assert "warning" not in capsys.readouterr().err


def test_one_network_and_one_training_are_tested_alone(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("net-01", 4), ("net-01/seed-1", 2)):
        assert main(["evaluate", str(retrained / name), "--json"]) == 0
        entries = json.loads(capsys.readouterr().out)["evaluations"]
        assert len(entries) == count
        assert all(f"/{name}/" in entry["checkpoint"] for entry in entries)


def test_weights_that_are_no_numbers_get_one_line(
    retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = load_network(retrained / "net-00/seed-0/last.safetensors")
    weights = dict(sound.weights) | {"head.4.bias": torch.full((10,), float("nan"))}
    save_network(tmp_path / "nan.safetensors", replace(sound, weights=weights))
    assert main(["evaluate", str(tmp_path / "nan.safetensors")]) == 4
    assert "nan.safetensors: gives logits that are not finite" in capsys.readouterr().err


def test_a_networks_place_on_the_front_can_be_read_in_the_table(
    retrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(retrained)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " ema " in line]
    assert [row[0][-2:] for row in rows] == ["#0", "#0", "#1", "#1"]


def test_no_code_is_taken_from_a_folder_that_is_tested(retrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(retrained, folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    config = (folder / "config.yaml").read_text().replace("ops: ''", f"ops: {folder / 'evil.py'}")
    assert "evil.py" in config
    (folder / "config.yaml").write_text(config)
    assert main(["evaluate", str(folder / "net-00/seed-0/last.safetensors")]) == 0
    assert not (tmp_path / "canary").exists()


def test_other_classes_are_named(retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            picture(10 * label + i, (8, 8), "L").save(tmp_path / "images" / name / f"{i}.png")
    checkpoint = str(retrained / "net-00/seed-0/last.safetensors")
    assert main(["evaluate", checkpoint, "--data", str(tmp_path / "images")]) == 4
    seen = capsys.readouterr().err
    assert "10 classes" in seen
    assert "has 2" in seen
    assert "'0' and 'cat'" in seen


def test_a_class_may_be_called_nothing(retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*"0123456789", "nothing"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(2):
            picture(i, (8, 8), "L").save(tmp_path / "images" / name / f"{i}.png")
    assert main(["evaluate", str(retrained / "net-00"), "--data", str(tmp_path / "images")]) == 4
    assert "(the first that differs: nothing and 'nothing')" in capsys.readouterr().err


def test_names_are_printed_as_they_are(retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = load_network(retrained / "net-00/seed-0/last.safetensors")
    named = replace(sound, described=replace(sound.described, name="r/[/a]\x1b[2J#0"))
    checkpoint = tmp_path / "[v2].safetensors"
    save_network(checkpoint, named)
    assert main(["evaluate", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"wrote {tmp_path}/[v2]-evaluation.json" in out


def test_what_cannot_be_stored_is_told_all_the_same(
    retrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Any) -> None:
        raise DiskError(f"{path}: no room")

    monkeypatch.setattr("evospace.evaluation.command.write_json", full)
    assert main(["evaluate", str(retrained / "net-00/seed-0")]) == 0
    seen = capsys.readouterr()
    assert sum(" ema " in line or " last " in line for line in seen.out.splitlines()) == 2
    assert seen.err.count("evospace: warning: not stored: ") == 2
    assert "wrote" not in seen.out
    assert main(["evaluate", str(retrained / "net-00/seed-0"), "--json"]) == 0
    seen = capsys.readouterr()
    assert len(json.loads(seen.out)["evaluations"]) == 2
    assert seen.err.count("evospace: warning: not stored: ") == 2


def test_a_batch_that_memory_does_not_hold_gets_one_line(
    retrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> float:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 10 bytes")

    monkeypatch.setattr("evospace.evaluation.command.seconds_per_batch", full)
    assert main(["evaluate", str(retrained / "net-00/seed-0"), "-b", "65536"]) == 2
    assert "at --batch-size 65536; give a smaller one" in capsys.readouterr().err


def test_the_folder_of_named_images_is_known_from_inside_the_retraining(
    retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(retrained, tmp_path / "out")
    config = (tmp_path / "out/config.yaml").read_text()
    (tmp_path / "out/config.yaml").write_text(config.replace("data_dir: ''", f"data_dir: {tmp_path}/gone"))
    monkeypatch.chdir(tmp_path / "out/net-00/seed-0")
    assert main(["evaluate", "last.safetensors"]) == 2


def test_what_is_tested_on_other_images_is_stored_beside_what_was_on_its_own(tmp_path: Path) -> None:
    for place, size in (("images", 8), ("others and more", 9)):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / place / name).mkdir(parents=True)
            for i in range(10):
                picture(100 * label + i, (size, size), "L").save(tmp_path / place / name / f"{i}.png")
    images, out = tmp_path / "images", tmp_path / "out"
    path = front(tmp_path / "front.json", members=1, data=str(images))
    assert main(["retrain", str(path), "--epochs", "1", "--batch-size", "4", "--out", str(out)]) == 0
    seed = out / "net-00/seed-0"
    assert main(["evaluate", str(out)]) == 0
    own = {p.name: p.read_bytes() for p in seed.iterdir() if p.is_file()}
    assert main(["evaluate", str(out), "--data", str(tmp_path / "others and more")]) == 0
    assert {name: (seed / name).read_bytes() for name in own} == own
    (stored,) = seed.glob("ema-evaluation-others-and-more-??????.json")  # and a hash of where it lies
    assert json.loads(stored.read_text())["images"] == 4
    assert len(list(seed.glob("ema-confusion-others-and-more-??????.png"))) == 1
    shutil.copytree(images, tmp_path / "copy")  # names and sizes do not tell a copy from what was changed inside them
    assert main(["evaluate", str(out), "--data", str(tmp_path / "copy")]) == 0
    assert {name: (seed / name).read_bytes() for name in own} == own
    images.rename(tmp_path / "moved")
    assert main(["evaluate", str(out), "--data", str(tmp_path / "moved")]) == 0
    assert not list(seed.glob("ema-evaluation-moved*"))  # it is its own data set all the same
    assert json.loads((seed / "ema-evaluation.json").read_text())["data"] == "moved"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nowhere"], 4, "nowhere"),
        (["x" * 300], 4, "no such checkpoint"),
        (["."], 4, "holds no retrained network"),
        (["nowhere", "--batch-size", "0"], 2, "--batch-size"),
        (["nowhere", "--device", "tpu"], 2, "--device"),
    ],
)
def test_bad_input_gets_one_line(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *args]) == code
    seen = capsys.readouterr().err
    assert said in seen
    assert len(seen.splitlines()) == 1
