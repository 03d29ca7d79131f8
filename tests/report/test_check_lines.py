"""What a person reads of a check."""

from dataclasses import replace
from pathlib import Path

import pytest

from evospace.cli import main
from evospace.data.check import CheckReport
from evospace.data.findings import IGNORED, UNREADABLE, Finding
from evospace.report.check_lines import check_lines, reading


def report(findings: list[Finding], classes: int = 2) -> CheckReport:
    counts = {part: {f"c{i}": i for i in range(classes)} for part in ("train", "test")}
    use = {"channels": 3, "image_size": 16, "shorter_side": 16, "train": 8, "fitness": 4, "scoring": 4, "test": 4}
    use["in_memory"] = False
    return CheckReport(
        name="n\n", counts=counts, modes={"L": 3}, sizes=("1 x 1",) * 3, use=use, findings=tuple(findings)
    )


def test_problems_are_grouped_errors_first_and_the_rest_is_counted() -> None:
    findings = [
        Finding(IGNORED, Path("x.txt"), "suffix"),
        *(Finding(UNREADABLE, f"{i}\x1b.png", "bad") for i in range(7)),
    ]
    lines = check_lines(report(findings))
    start = lines.index("error: unreadable image (7): replace or remove the file")
    assert lines[start + 1 : start + 7] == [*(f"  {i}\\x1b.png: bad" for i in range(5)), "  ... and 2 more"]
    assert lines[start + 7].startswith("warning: file that is ignored")
    assert lines[0].startswith("n\\n: 2 classes")
    assert check_lines(report([]))[-1] == "no problem found"
    assert check_lines(report(findings[:1]))[-1] == "none of this stops a search"


def test_of_many_classes_the_smallest_are_listed() -> None:
    lines = check_lines(report([], classes=100))
    assert lines[2].split() == ["c0", "0", "0"]
    assert "... and 80 larger classes (--json lists all)" in lines


@pytest.mark.parametrize(
    ("side", "size", "told"), [(20, 16, True), (16, 16, False), (500, 224, True), (20, 20, False), (20, 8, False)]
)
def test_images_that_are_scaled_without_being_asked_for_are_told(side: int, size: int, told: bool) -> None:
    made = report([])
    assert made.use
    lines = check_lines(replace(made, use={**made.use, "shorter_side": side, "image_size": size}))
    assert any(f"the median shorter side, {side}, down to a multiple of 8" in line for line in lines) == told


def test_no_bar_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with reading() as step:
        step(1, 2)
    assert capsys.readouterr() == ("", "")


def test_names_are_escaped_where_the_output_takes_ascii_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["check", str(tmp_path / "caf\N{LATIN SMALL LETTER E WITH ACUTE}\udcff")]) == 2
    assert rb"\udcff" in capsysbinary.readouterr().err
