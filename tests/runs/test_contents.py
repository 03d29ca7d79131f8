from pathlib import Path

import pytest

from evospace.errors import DataError
from evospace.runs.contents import UNKNOWN, Origin, hash_of_test, place_of, read_place

BEFORE = {"train 'a'": "8 files, sha256 1", "test 'a'": "2 files, sha256 2", "image size": "8"}
GROWN = BEFORE | {"test 'a'": "3 files, sha256 3"}


def test_a_folder_is_known_again_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    origin = Origin(data="images", place=place_of("images"), test=hash_of_test(BEFORE))
    assert origin.is_of("")
    assert origin.is_of("images")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in (tmp_path / "images", "../images", tmp_path / "link"):
        assert origin.is_of(str(name))
        with pytest.raises(DataError, match="its test images are not those"):
            origin.require_test(str(name), "images", GROWN)
        origin.require_test(str(name), "images", BEFORE | {"train 'a'": "9 files, sha256 4"})
    (tmp_path / "elsewhere" / "images").mkdir()
    assert not origin.is_of("images")  # another folder that a relative name means here
    assert not origin.gone
    assert origin.doubt("images", "images", GROWN)
    assert not origin.is_of(str(tmp_path / "elsewhere"))
    origin.require_test(str(tmp_path / "elsewhere"), "elsewhere", GROWN)


def test_a_folder_is_gone_where_its_whole_path_is_known(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    origin = Origin(data=str(tmp_path / "images"), place=place_of(str(tmp_path / "images")), test=hash_of_test(BEFORE))
    assert not origin.gone
    (tmp_path / "images").rename(tmp_path / "moved")
    assert origin.gone
    assert not Origin(data="images", place=origin.place).gone


def test_what_is_no_folder_has_no_place() -> None:
    assert {place_of(name) for name in ("", "digits", "x" * 300, "~nobody-known", "a\0b")} == {""}
    assert not Origin(data="digits").is_of("cifar10")
    UNKNOWN.require_test("digits", "digits", GROWN)


def test_the_test_of_a_named_data_set_is_not_told_by_files() -> None:
    assert hash_of_test({"test images": "360, sha256 1", "train images": "1437, sha256 2"}) == ""


@pytest.mark.parametrize("text", ["", "[]", '{"place": 3}', "{}"])
def test_a_place_that_is_not_told_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(text)
    assert read_place(tmp_path) == ""
