"""Every bad input gets one line that says what to do, its exit code, and no traceback."""

import re
from pathlib import Path

import pytest

from tests.bad_input import GROUPS, Case, attempt, cell

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


def test_the_documented_table_has_every_case_with_its_exit_code() -> None:
    rows = [row for row in RELIABILITY.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    for case in CASES:
        told = [row for row in rows if row.startswith(f"| {cell(case.given)} | ")]
        assert len(told) == 1, f"{case.given}: write the table anew with python -m tests.bad_input"
        assert told[0].endswith(f" | {case.code} |")
