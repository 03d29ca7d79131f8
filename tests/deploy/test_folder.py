import os
from pathlib import Path

import pytest

from evospace.deploy.folder import MARK, check_target, new_folder
from evospace.errors import DiskError, UsageError
from evospace.runs.files import write_json, write_text


def fill(out: Path, text: str) -> None:
    with new_folder(out) as folder:
        write_json(folder / "config.json", {"format": MARK})
        write_text(folder / "README.md", text)


def test_a_folder_appears_whole_and_an_export_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    fill(out, "one")
    (out / "model.onnx").touch()
    (out / "__pycache__").mkdir()
    fill(out, "two")
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json"]
    assert (out / "README.md").read_text() == "two"
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


def fail_after(path: Path) -> None:
    write_text(path, "two")
    raise UsageError("no")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "one")
    assert (tmp_path / "out" / "README.md").read_text() == "one"


@pytest.mark.parametrize("before", [False, True])
def test_after_an_error_nothing_is_left_or_changed(tmp_path: Path, before: bool) -> None:
    if before:
        fill(tmp_path / "out", "one")
    with pytest.raises(UsageError), new_folder(tmp_path / "out") as folder:
        fail_after(folder / "README.md")
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if before else [])
    assert not before or (tmp_path / "out" / "README.md").read_text() == "one"


def test_what_is_not_an_export_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    (out / "thesis.txt").touch()
    with pytest.raises(UsageError, match=r"holds something else \(e\.g\. thesis\.txt\)"):
        check_target(out)
    (out / "thesis.txt").unlink()
    write_json(out / "config.json", {"architectures": ["ResNet"]})
    with pytest.raises(UsageError, match="holds something else; give a new folder"):
        check_target(out)
    (out / "config.json").write_text("[")
    with pytest.raises(UsageError, match="holds something else"):
        check_target(out)


@pytest.mark.parametrize("name", [".", "..", "in"])
def test_the_working_folder_is_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    out = {".": Path(), "..": Path(".."), "in": tmp_path / "empty"}[name]
    with pytest.raises(UsageError, match="the folder you are in"):
        check_target(out)


def test_a_file_and_a_link_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loose").symlink_to("nowhere")
    for name in ("file", "link", "loose", "a" * 300):
        with pytest.raises((UsageError, DiskError)), new_folder(tmp_path / name):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(DiskError, match="nothing was exported"), new_folder(tmp_path / "out"):
        pass


def test_a_full_disk_is_told_without_advice_for_searches(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(DiskError, match=r"out: No space left on device; nothing was exported"),
        new_folder(tmp_path / "out"),
    ):
        full(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("at", [1, 2])
def test_an_exchange_that_is_interrupted_leaves_what_was_there(
    at: int, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the old folder is moved away, and while the new one takes its place."""
    fill(tmp_path / "out", "one")
    rename, calls = Path.rename, list[Path]()

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == at:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises((KeyboardInterrupt, DiskError)):
        fill(tmp_path / "out", "two")
    assert (tmp_path / "out" / "README.md").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
