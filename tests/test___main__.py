import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evospace.__main__ import main


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pools"], "anything was begun"),
        (["search", "--out", "runs/mine", "--resume"], "anything went on; all is as it was, go on with --resume"),
    ],
)
def test_an_end_while_modules_are_loaded_is_told_in_a_line(args: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "tyro.py").write_text(f"import os\nos.kill(os.getpid(), {signal.SIGINT:d})\n", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-m", "evospace", *args],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, f"evospace: interrupted before {said}\n")


def test_it_is_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["evospace", "pools"])
    assert main() == 0
    assert "mobile27" in capsys.readouterr().out
