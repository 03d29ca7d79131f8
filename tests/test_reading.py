"""Untrusted text: what is refused, and that it is refused before it costs anything."""

import contextlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evospace.reading import read_json, read_text, read_yaml
from tests.bad_input import LAUGHS


@pytest.fixture(name="file")
def a_file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_plain_values_are_read(file: Path) -> None:
    file.write_text("data: digits\nlr: 0.1\nse: true\nname: café\n", encoding="utf-8")
    assert read_yaml(file) == {"data": "digits", "lr": 0.1, "se": True, "name": "café"}
    file.write_text('{"a": [1, 2.5, null, "\\udcff"]}')
    assert read_json(file, 100) == {"a": [1, 2.5, None, "\udcff"]}


def test_a_bomb_of_aliases_takes_no_memory(file: Path) -> None:
    file.write_text(LAUGHS)
    tracemalloc.start()
    with pytest.raises(ValueError, match="line 2: aliases"):
        read_yaml(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "line 2: 'c' stands there twice"),
        ("a: !!python/name:os.system", "python/name"),
        ("a: !mine 3", "!mine"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("a: 2024-99-99", "month"),
        ("a: '\x01'", "special characters"),
        ("a: &x 1\nb: *y", "aliases"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_yaml(file)


def test_only_small_regular_files_are_read(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"x" * 11)
    assert read_text(file, 11) == "x" * 11
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_text(file, 10)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a regular file"):
            read_text(path, 10)
    with pytest.raises(OSError, match="No such file"):
        read_text(tmp_path / "none", 10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text("{}[]:-*&!? \n'\"|>%@#,a1.", max_size=60).map(str.encode))
def test_any_bytes_are_values_or_a_value_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with contextlib.suppress(ValueError):
        read_yaml(file)
    with contextlib.suppress(ValueError):
        read_json(file, 1000)
