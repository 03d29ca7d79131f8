"""A front.json with anything changed in it is read, or refused with one line."""

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evospace.cli import main
from evospace.errors import DataError
from evospace.runs.front import Front, read_front
from tests.bad_input import sound_front

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 1, 2**63, 65536, 65537, 1e308]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["../../x", "mbconv_k3_e1", "mbconv_k99999_e99999_d99999", "mbconv", "reduce", "swish", "\udcff"]),
    st.lists(st.integers() | st.text(max_size=2), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, below in inner for place in [(*path, key), *places(below, (*path, key))]]


PLACES = places(sound_front())
CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), st.just("delete") | VALUES.map(lambda v: [v])), max_size=3)


def changed(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    front = copy.deepcopy(sound_front())
    for place, change in changes:
        try:
            target: Any = front
            for key in place[:-1]:
                target = target[key]
            if change == "delete":
                del target[place[-1]]
            else:
                target[place[-1]] = change[0]
        except (KeyError, IndexError, TypeError):  # an earlier change took the place away
            continue
    return front


@pytest.fixture(name="path")
def a_path(tmp_path: Path) -> Path:
    return tmp_path / "front.json"


def refused_or_read(path: Path) -> Front | None:
    with contextlib.suppress(DataError):
        return read_front(path)
    return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
@example([(("front", 0, "macs"), [True])])
@example([(("seed",), ["1"])])
@example([(("skeleton", "stages", 0, "repeat"), [65535])])
def test_reading_a_changed_front_is_a_front_or_a_data_error(path: Path, changes: Any) -> None:
    path.write_text(json.dumps(changed(changes)))
    front = refused_or_read(path)
    if front:  # what was read can be written and read again
        path.write_text(json.dumps(front.to_json()))
        assert read_front(path) == front


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_showing_a_changed_front_is_one_line_or_a_description(
    path: Path, capsys: pytest.CaptureFixture[str], changes: Any
) -> None:
    path.write_text(json.dumps(changed(changes)))
    code = main(["show", str(path)])
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) in {(0, 0), (2, 1), (4, 1)}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2000), st.binary(max_size=4))
def test_damaged_bytes_are_a_front_or_a_data_error(path: Path, start: int, damage: bytes) -> None:
    raw = json.dumps(sound_front()).encode()
    path.write_bytes(raw[:start] + damage + raw[start + len(damage) :])
    refused_or_read(path)
