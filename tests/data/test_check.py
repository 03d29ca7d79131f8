"""`check_data`: everything is read once, everything is told, and what is told is what a search would use."""

import json
from pathlib import Path

import pytest

from evospace.cli import main
from evospace.data import check, hold_out, load_data
from evospace.data import findings as kinds
from evospace.data.check import CheckReport, check_data
from evospace.data.findings import Kind
from evospace.errors import DataError, UsageError
from tests.bad_input import GROUPS, Case, folder, picture


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(report: CheckReport) -> dict[Kind, list[str]]:
    return {kind: sorted(str(finding.where) for finding in group) for kind, group in report.grouped().items()}


def two_parts(train: int = 8, test: int = 4) -> None:
    folder("images/train", count=train)
    folder("images/test", first=5000, count=test)


@pytest.mark.parametrize("grey", [False, True])
def test_it_tells_what_a_search_would_use(grey: bool) -> None:
    for index in range(40):
        path = Path("images", "ab"[index % 2], f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(index, (20 + index, 30), "L" if grey else "RGB").save(path)
    report, data = check_data("images"), load_data("images")
    splits = hold_out(data, 0)
    assert report.findings == ()
    assert report.counts == {"train": {"a": 16, "b": 16}, "test": {"a": 4, "b": 4}}
    assert (report.modes, report.sizes) == ({"L" if grey else "RGB": 40}, ("20 x 30", "40 x 30", "59 x 30"))
    assert report.use == {
        "channels": data.image_channels,
        "image_size": data.image_size,
        "shorter_side": 30,
        "train": len(splits.train),
        "fitness": len(splits.fitness),
        "scoring": len(splits.scoring),
        "test": len(data.test),
        "in_memory": True,
    }


def test_it_does_not_stop_at_the_first_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    two_parts()
    Path("images/train/a/3.png").write_bytes(b"")
    Path("images/test/b/1.png").write_bytes(b"<html>")
    Path("images/train/c").mkdir()
    picture(1).save("images/test/a/tail.jpg")
    Path("images/test/a/tail.jpg").write_bytes(Path("images/test/a/tail.jpg").read_bytes()[:-200])
    monkeypatch.setattr("evospace.data.inspect._AT_ONCE", 5)
    steps: list[tuple[int, int]] = []
    report = check_data("images", workers=2, step=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 25) for i in range(1, 26)]
    assert found(report) == {
        kinds.EMPTY_CLASS: ["images/train/c"],
        kinds.UNTESTED_CLASS: ["images/train/c"],
        kinds.UNREADABLE: ["images/test/a/tail.jpg", "images/test/b/1.png", "images/train/a/3.png"],
    }
    assert len(report.errors) == 4


def test_the_same_picture_is_found_by_its_pixels() -> None:
    two_parts()
    picture(1).save("images/test/a/copy.webp", lossless=True)  # train/a/1.png
    picture(102).save("images/train/a/twin.png")  # train/b/2.png, in training alone
    report = check_data("images")
    assert found(report) == {
        kinds.LEAK: ["images/test/a/copy.webp"],
        kinds.TWO_CLASSES: ["images/train/b/2.png"],
    }
    assert not report.errors
    folder("single")
    picture(1).save("single/a/copy.png")
    assert list(found(check_data("single"))) == [kinds.TWICE]


def test_what_hurts_is_a_warning() -> None:
    two_parts(train=12)
    folder("images/train", ("c",), first=900, count=1)
    for name, size, mode in (("tiny", (3, 3), "L"), ("long", (16, 80), "L")):
        picture(7777, size, mode).save(f"images/train/a/{name}.png")
    report = check_data("images")
    assert {kind.title for kind in found(report)} == {
        kind.title for kind in (kinds.TINY, kinds.LONG, kinds.IMBALANCE, kinds.UNTESTED_CLASS)
    }
    assert not report.errors
    small = check_data("images", image_size=6)
    assert kinds.TINY not in found(small)
    assert small.use
    assert small.use["image_size"] == 6


def test_colour_among_grey_images_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(300):
        path = Path("images", "ab"[index % 2], f"{index:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(index, (8, 8), "L").save(path)
    picture(1000, (8, 8)).save("images/a/000.png")
    monkeypatch.setattr(check, "spread", lambda looks: [look for look in looks if look.mode == "L"])
    assert found(check_data("images")) == {kinds.COLOUR_LOST: ["images/a/000.png"]}


def test_named_data_sets_are_checked_too() -> None:
    report = check_data("digits", image_size=16)
    assert (sum(report.counts["train"].values()), sum(report.counts["test"].values())) == (1437, 360)
    assert (report.findings, report.sizes[0]) == ((), "8 x 8")
    assert report.use
    assert (report.use["channels"], report.use["image_size"]) == (1, 16)
    for name, size in (("digitz", 0), ("digits", 2)):
        with pytest.raises(UsageError):
            check_data(name, image_size=size)


CASES = [case for group in ("Images", "Folders") for case in GROUPS[group] if case.code != 2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.given)
def test_a_check_fails_where_loading_does(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    code = main(["check", "images", "--json"])
    seen = capsys.readouterr()
    assert code == case.code
    assert len(seen.err.splitlines()) == (1 if code else 0)
    report = json.loads(seen.out)
    assert report["ok"] is (code == 0)
    errors = [problem for problem in report["problems"] if problem["error"]]
    assert bool(errors) == bool(code)
    if code and case.given != "too few images":
        with pytest.raises(DataError) as caught:
            load_data("images")
        where = errors[0]["found"][0].partition(": ")[0]
        assert where.encode("ascii", "backslashreplace").decode()[:9] in str(caught.value)
