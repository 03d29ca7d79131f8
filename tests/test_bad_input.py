"""Every bad input gets one line that says what to do, its exit code, and no traceback."""

import os
import re
from pathlib import Path

import pytest

from evospace.cli import main
from evospace.runs.front import read_front
from tests.bad_input import BAD_NAME, GROUPS, Case, attempt, cell, folder

RELIABILITY = Path(__file__).parent.parent / "docs" / "reliability.md"
CASES = [case for cases in GROUPS.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.given)
def test_bad_input_gets_one_line_and_its_exit_code(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = attempt(case)
    assert outcome.code == case.code, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == (1 if case.code else 0), lines
    assert all(line.startswith("evospace: error: ") for line in lines)
    assert not re.search(r"Traceback|object at 0x|set_int_max", outcome.err + outcome.out)
    assert not Path("canary").exists()
    assert not Path("run").exists()
    outcome.out.encode()
    own_words = re.split(r"\(|: image file|; known: ", outcome.seen)[
        0
    ]  # then Pillow, PyYAML, Python, or what is loaded
    assert documented(case).startswith(f"| {cell(case.given)} | `{cell(own_words)}")
    assert documented(case).endswith(f" | {case.code} |")


def documented(case: Case) -> str:
    """The row of docs/reliability.md; `python -m tests.bad_input` writes the table anew."""
    rows = RELIABILITY.read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| {cell(case.given)} | ")]
    return row


def test_debug_adds_a_traceback_and_keeps_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("data: nowhere\nbudget: macs=1M\ndebug: true\n")
    quiet = ["search", "--data", "nowhere", "--budget", "macs=1M"]
    for args, tracebacks in (
        (quiet, 0),
        ([*quiet, "--debug"], 1),
        (["search", "--config", "c.yaml"], 1),
        (["search", "--config", "c.yaml", "--debug"], 1),
        (["search", "--config", "c.yaml", "--no-debug"], 0),
    ):
        assert main(args) == 2
        seen = capsys.readouterr().err
        assert seen.count("Traceback") == tracebacks, args
        assert seen.splitlines()[-1].startswith("evospace: error: no data set")


def test_a_search_on_names_that_are_not_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = os.fsdecode(b"imag\xffes")
    folder(root, classes=("<script>", BAD_NAME, "x\ny"), count=8)
    flags = ["--image-size", "8", "--budget", "macs=1M", "--epochs", "1", "--samples", "6", "--max-rounds", "1"]
    search = ["search", "--data", root, *flags, "--batch-size", "4", "--calibration-batches", "1"]
    assert main(search) == 0
    (run,) = Path("runs").iterdir()
    assert main([*search, "--out", str(run), "--resume"]) == 0
    assert main([*search, "--out", root]) == 2
    front = read_front(run / "front.json")
    assert front.class_names == ("<script>", "cl\\udcffss", "x\\ny")
    assert front.data == root
    assert main(["show", str(run)]) == 0
    assert main(["check", root]) == 0
    assert "cl\\udcffss" in capsys.readouterr().out
