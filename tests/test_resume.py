"""A run that was ended at any moment goes on to the same bits."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import evospace.data.folders
import evospace.runs.autosave
from evospace.cli import main
from evospace.report.page.traces import read_curves
from evospace.runs.checkpoints import TrainingCheckpoints
from evospace.runs.signals import Signals
from evospace.supernet.supernet import SuperNet
from tests.interruptions import FORECAST, SEARCH, Moments, content

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What an undisturbed run comes to, and how many moments it has."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(patch)
        assert main([*SEARCH, "--out", str(out)]) == 0
    return content(out), moments.count


def killed_then_resumed(seed: int, undisturbed: tuple[dict[str, Any], int], out: Path, kills: int = 1) -> None:
    """SIGKILL at seeded moments of one run, each counted from where the run was taken up again."""
    expected, count = undisturbed
    for at in np.random.default_rng(seed).integers(count // kills, size=kills).tolist():
        args = [sys.executable, "-m", "tests.interruptions", str(at), str(out)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ended = subprocess.run(args, cwd=ROOT, capture_output=True, check=False, env=environment)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0
    assert content(out) == expected


def test_a_killed_run_goes_on_to_the_same_bits(undisturbed: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    killed_then_resumed(0, undisturbed, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 32))
def test_a_killed_run_goes_on_to_the_same_bits_thirty_times(
    seed: int, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    killed_then_resumed(seed, undisturbed, tmp_path / "run", kills=2)


def end_at(share: float, count: int, act: Callable[[], None], out: Path) -> int:
    """Run a search that `act` befalls after a share of its moments; returns the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        Moments(patch, int(share * count), act)
        return main([*SEARCH, "--out", str(out), "--resume"])


@pytest.mark.parametrize(("name", "code", "share"), [("SIGINT", 130, 0.2), ("SIGTERM", 143, 0.45)])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    name: str, code: int, share: float, undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    assert end_at(share, undisturbed[1], lambda: signal.raise_signal(getattr(signal, name)), out) == code
    assert f"evospace search --out {out} --resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert main(["search", "--out", str(out), "--resume"]) == 0
    assert content(out) == undisturbed[0]
    assert [epoch for epoch, _ in read_curves(out / "tensorboard", [])["loss"]] == [1, 2, 3, 4]


def test_a_second_ctrl_c_ends_at_once(undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert end_at(0.3, undisturbed[1], twice, tmp_path / "run") == 130
    assert "at once" in capsys.readouterr().err
    assert main(["search", "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert content(tmp_path / "run") == undisturbed[0]


def test_a_signal_between_the_question_and_the_answer_waits_for_the_next_step(
    undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "run", list[bool]()
    take_save = Signals.take_save

    def then_ctrl_c(signals: Signals) -> bool:
        asked.append(take_save(signals))
        if len(asked) == 3:
            signal.raise_signal(signal.SIGINT)
        return asked[-1]

    monkeypatch.setattr(Signals, "take_save", then_ctrl_c)
    monkeypatch.setattr(evospace.runs.autosave, "SECONDS", 1e9)
    assert main([*SEARCH, "--out", str(out)]) == 130
    assert asked == [False, False, False, True]
    assert len(list((out / "checkpoints").glob("training-*"))) == 1
    monkeypatch.undo()
    assert main(["search", "--out", str(out), "--resume"]) == 0
    assert content(out) == undisturbed[0]


def test_sigusr1_saves_and_goes_on(undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[int] = []
    monkeypatch.setattr(TrainingCheckpoints, "save", lambda self, *args: saves.append(1))
    with pytest.MonkeyPatch.context() as patch:
        Moments(patch, undisturbed[1] // 10, lambda: signal.raise_signal(signal.SIGUSR1))
        patch.setattr(evospace.runs.autosave, "SECONDS", 1e9)
        assert main([*SEARCH, "--out", str(tmp_path / "run")]) == 0
    assert len(saves) == 3  # one for the signal, one at the end of each of the two rounds
    assert content(tmp_path / "run") == undisturbed[0]


@pytest.mark.parametrize("share", [0.4, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.01, 0.9))])
def test_a_full_disk_is_told_and_costs_nothing(
    share: float, undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        Moments(patch, int(share * undisturbed[1]), lambda: patch.setattr(os, "fsync", full))
        assert main([*SEARCH, "--out", str(out), "--resume"]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "No space left on device" in error[0]
    assert str(out) in error[0]
    assert "bytes" in error[0]
    assert [path.name for path in out.rglob(".*")] == [".lock"]
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0
    assert content(out) == undisturbed[0]


def flip(path: Path, position: int) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("torn", [False, True])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    torn: bool, undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert end_at(0.25, undisturbed[1], lambda: signal.raise_signal(signal.SIGINT), out) == 130
    newest = sorted((out / "checkpoints").glob("training-*"))[-1]
    if torn:
        newest.write_bytes(newest.read_bytes()[:-100])
    else:
        flip(newest, newest.stat().st_size // 2)
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0
    assert str(newest) in capsys.readouterr().out.replace("\n", "")
    assert content(out) == undisturbed[0]


@pytest.mark.parametrize("where", [b"SQLite", b"inherited"])
def test_a_damaged_database_is_named_and_its_copy_is_used(
    where: bytes, undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert end_at(0.8, undisturbed[1], lambda: signal.raise_signal(signal.SIGINT), out) == 130
    flip(out / "run.db", (out / "run.db").read_bytes().index(where))
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0
    assert "run-damaged.db" in capsys.readouterr().out
    assert content(out) == undisturbed[0]


@pytest.mark.parametrize("reason", ["out of memory", "not finite"])
def test_a_candidate_that_fails_is_recorded_and_the_run_goes_on(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, calls = SuperNet.calibrate, [0]

    def calibrate(self: SuperNet, *args: Any) -> None:
        original(self, *args)
        calls[0] += 1
        if calls[0] == 2 and reason == "out of memory":
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        if calls[0] == 2:
            for buffer in self.buffers():
                buffer.fill_(float("nan") if buffer.is_floating_point() else 0)

    monkeypatch.setattr(SuperNet, "calibrate", calibrate)
    monkeypatch.setattr("evospace.experiment.forecast", lambda *args, **kwargs: FORECAST)
    assert main([*SEARCH, "--out", str(tmp_path / "run")]) == 0
    failures = [row[8] for row in content(tmp_path / "run")["evaluations"] if row[8]]
    assert failures == [reason]
    assert f"1 not scored (the first: {reason})" in capsys.readouterr().out


def test_changed_settings_and_changed_data_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = folder(tmp_path), tmp_path / "run"
    search = ["search", "--data", str(data), *SEARCH[3:], "--budget", "macs=0.1M..1M", "--batch-size", "16"]
    search += ["--out", str(out)]
    assert main([*search, "--max-rounds", "1", "--resume"]) == 0
    assert main([*search, "--resume", "--epochs", "3", "--seed", "4"]) == 2
    error = capsys.readouterr().err
    assert "epochs: 2 -> 3" in error
    assert "seed: 0 -> 4" in error
    image = next((data / "b").iterdir())
    image.rename(image.with_name("other.png"))
    assert main([*search, "--resume"]) == 4
    error = capsys.readouterr().err
    assert "'b'" in error
    assert "'a'" not in error


def folder(root: Path) -> Path:
    """Two classes of 24 small images each."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / "data" / name).mkdir(parents=True)
        for i in range(24):
            Image.fromarray(rng.integers(256, size=(8, 8), dtype=np.uint8)).save(root / "data" / name / f"{i}.png")
    return root / "data"


def test_data_that_vanish_end_the_run_with_one_line_and_it_goes_on_when_they_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evospace.data.folders, "MEMORY_LIMIT", 0)
    data = folder(tmp_path)
    search = ["search", "--data", str(data), *SEARCH[3:], "--budget", "macs=0.1M..1M", "--batch-size", "8"]
    assert main([*search, "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()

    def vanish() -> None:
        data.rename(tmp_path / "away")

    with pytest.MonkeyPatch.context() as patch:
        Moments(patch, 30, vanish)
        assert main([*search, "--out", str(tmp_path / "run")]) == 4
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert str(data) in error[0]
    shutil.move(tmp_path / "away", data)
    assert main([*search, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_a_run_ended_before_it_began_begins(undisturbed: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert end_at(0.0, undisturbed[1], lambda: signal.raise_signal(signal.SIGINT), out) == 130
    assert not (out / "config.yaml").exists()
    (out / "run.db").write_bytes(b"")  # made, and nothing in it yet
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0
    assert content(out) == undisturbed[0]


def test_two_damaged_databases_end_with_one_line(
    undisturbed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert end_at(0.1, undisturbed[1], lambda: signal.raise_signal(signal.SIGINT), out) == 130
    flip(out / "run.db", 3)
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 0  # before the first round ends there is a copy too
    assert content(out) == undisturbed[0]
    for name in ("run.db", "run-previous.db"):
        flip(out / name, 3)
    (out / "front.json").unlink()
    capsys.readouterr()
    assert main([*SEARCH, "--out", str(out), "--resume"]) == 4
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "run.db" in error[0]
    assert "run-previous.db" in error[0]


def test_rounds_of_another_search_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, other, cheap = (tmp_path / name for name in ("run", "other", "cheap"))
    quick = ["--max-rounds", "1", "--epochs", "1"]
    assert main([*SEARCH, *quick, "--out", str(run)]) == 0
    assert main([*SEARCH, *quick, "--pool", "latency19", "--out", str(other)]) == 0
    assert main([*SEARCH, *quick, "--budget", "macs=1M", "--out", str(cheap)]) == 0
    for foreign in (other, cheap):
        shutil.copyfile(foreign / "run.db", run / "run.db")
        assert main(["search", "--out", str(run), "--resume", "--max-rounds", "2"]) == 4
        assert "run.db: is of another search; put back that of this run" in capsys.readouterr().err


def test_a_run_without_the_weights_of_the_round_before_is_told_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*SEARCH, "--max-rounds", "1", "--epochs", "1", "--out", str(out)]) == 0
    shutil.rmtree(out / "checkpoints")
    assert main(["search", "--out", str(out), "--resume", "--max-rounds", "2"]) == 4
    assert f"{out / 'checkpoints/round-01.safetensors'}: is missing; put it back" in capsys.readouterr().err
