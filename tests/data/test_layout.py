"""What is found in a folder before any image is opened."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evospace.data import findings as kinds
from evospace.data.folders import scan_folder
from evospace.data.layout import read_layout, share_to_test
from evospace.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_hidden_names_are_skipped_and_other_suffixes_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/._1.png", "a/.cache/2.png", "a/deep/3.JPG", "a/Thumbs.db", "b/1.webp", ".git/1.png")
    layout = read_layout(tmp_path)
    found = {name: [path.name for path in paths] for name, paths in layout.train.images.items()}
    assert found == {"a": ["1.png", "3.JPG"], "b": ["1.webp"]}
    assert [(f.kind, Path(f.where).name) for f in layout.train.odd] == [(kinds.IGNORED, "Thumbs.db")]


def test_every_problem_is_found_not_only_the_first(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/x.txt", "test/a/1.png", "test/z/1.png", "val/a/1.png")
    (tmp_path / "train/a/2.png").symlink_to("2.png")
    (tmp_path / "train/gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "train/b/2.png")
    titles = [finding.kind for finding in read_layout(tmp_path).findings()]
    assert sorted(kind.title for kind in titles) == sorted(
        kind.title
        for kind in (
            *(kinds.UNUSED_PART, kinds.IGNORED, kinds.EMPTY_CLASS, kinds.TEST_ONLY_CLASS),
            *(kinds.NOT_A_FILE,) * 3,
            *(kinds.UNTESTED_CLASS,) * 2,
        )
    )


@pytest.mark.parametrize("parts", [("Training", "Testing"), ("TRAIN", "Validation"), ("Test",)])
def test_parts_of_other_names_are_no_classes(parts: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{name}/{i}.png" for part in parts for name in "ab" for i in range(9)))
    assert kinds.PARTS_AS_CLASSES in [finding.kind for finding in read_layout(tmp_path).findings()]
    with pytest.raises(DataError, match="name them train/ and test/"):
        scan_folder(tmp_path, seed=0)


def test_flat_parts_beside_another_folder_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in ("train", "test", "labels") for i in range(9)))
    assert kinds.PARTS_AS_CLASSES in [finding.kind for finding in read_layout(tmp_path).findings()]


def test_a_part_of_another_name_beside_train_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{name}/{i}.png" for part in ("train", "Val") for name in "ab" for i in range(9)))
    if not (tmp_path / "val").exists():  # a file system that tells them apart
        with pytest.raises(DataError, match="rename Val/ to val/"):
            scan_folder(tmp_path, seed=0)
    touch(tmp_path, *(f"{part}/{name}/{i}.png" for part in ("test", "validation") for name in "ab" for i in range(9)))
    unused = [Path(f.where).name for f in read_layout(tmp_path).findings() if f.kind == kinds.UNUSED_PART]
    assert "validation" in unused


def test_a_class_may_be_called_as_a_part_is(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in ("train", "bus") for i in range(9)))
    layout = read_layout(tmp_path)
    assert not list(layout.findings())
    assert set(layout.train.images) == {"train", "bus"}


def test_images_beside_the_classes_are_told_and_stop_nothing(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in "ab" for i in range(9)), "c.JPG", "d.png", "notes.txt", ".e.png")
    (found,) = read_layout(tmp_path).findings()
    assert (found.kind, found.kind.error) == (kinds.OUTSIDE, False)
    assert "2 beside the folders, c.JPG the first" in found.text


def test_linked_folders(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "images/a/1.png")
    (tmp_path / "images/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/a/loop").symlink_to(tmp_path / "images")
    layout = read_layout(tmp_path / "images")
    assert [len(paths) for paths in layout.train.images.values()] == [1, 1]
    assert [finding.kind for finding in layout.train.odd] == [kinds.LINKED_FOLDER]


def test_a_test_part_that_is_closed_is_told_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "test", "val") for name in "ab"))
    entries = Path.iterdir

    def closed(path: Path) -> Iterator[Path]:
        if path.name == "test":
            raise PermissionError(13, "Permission denied", str(path))
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    layout = read_layout(tmp_path)
    assert layout.test is not None
    assert layout.test.root == tmp_path / "test"
    assert [f.where for f in layout.findings() if f.kind == kinds.CLOSED_FOLDER] == [tmp_path / "test"]


def test_a_closed_folder_is_told_and_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.png", "a/closed/2.png", "b/1.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"a/closed: Permission denied; mend its permissions"):
        scan_folder(tmp_path, 0)


def test_class_names_can_always_be_shown(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in ("a\nb", os.fsdecode(b"\xff"), "<script>") for i in (1, 2)))
    samples = scan_folder(tmp_path, 0)
    assert samples.classes == ("<script>", "a\\nb", "\\udcff")
    assert [path.parent.name for path, _ in samples.test] == ["<script>", "a\nb", "\udcff"]


def test_a_class_of_one_image_is_told_to_be_untested(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    assert [(f.kind, Path(f.where).name) for f in read_layout(tmp_path).findings()] == [(kinds.UNTESTED_CLASS, "b")]


@pytest.mark.parametrize(("count", "test"), [(0, 0), (1, 0), (2, 1), (3, 1), (8, 2), (20, 4)])
def test_a_fifth_is_tested_on(count: int, test: int) -> None:
    assert share_to_test(count) == test
