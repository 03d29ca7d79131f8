import json
from pathlib import Path
from typing import Any

import pytest

from evospace.cost.latency_file import read_latency_table, table_to_json
from evospace.cost.latency_table import LatencyTable
from evospace.errors import DataError
from tests.profiling.tables import OPS, TINY, made_table, verified

TABLE = made_table(TINY, OPS)


def write(path: Path, table: LatencyTable, **changes: Any) -> Path:
    path.write_text(json.dumps(table_to_json(table) | changes))
    return path


def test_the_file_gives_the_table_back(tmp_path: Path) -> None:
    assert read_latency_table(write(tmp_path / "t.json", TABLE)) == TABLE
    checked = verified(TABLE)
    assert read_latency_table(write(tmp_path / "t.json", checked)) == checked


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": True},
        {"setting": {}},
        {"setting": {"runtime": "tflite", "device": "cpu", "batch": 1, "threads": 1, "dtype": "float32"}},
        {"setting": {"runtime": "torch", "device": "cpu", "batch": 0, "threads": 1, "dtype": "float32"}},
        {"setting": {"runtime": "torch", "device": "cpu", "batch": 1, "threads": 1, "dtype": "int8"}},
        {"machine": {"processor": 3}},
        {"machine": []},
        {"skeleton": {}},
        {"classes": "10"},
        {"reference_ns": -1},
        {"fixed": {"stem": {"ns": "1", "spread": 0, "passes": 1}}},
        {"fixed": {"stem": {"ns": 1, "spread": 1e300, "passes": 1}}},
        {"blocks": [{}]},
        {"blocks": 7},
        {"blocks": []},
        {"blocks": table_to_json(TABLE)["blocks"][1:]},
        {"blocks": [b | {"shape": b["shape"] | {"resolution": 7}} for b in table_to_json(TABLE)["blocks"]]},
        {"fixed": {}},
        {"fixed": table_to_json(TABLE)["fixed"] | {"neck": {"ns": 1, "spread": 0.0, "passes": 3}}},
        {"networks": [{"architecture": 1}]},
        {"fit": {"constant": 1}},
        {"verification": []},
    ],
)
def test_damaged_tables(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="profile"):
        read_latency_table(write(tmp_path / "t.json", TABLE, **changes))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": NaN}', "\x80"])
def test_files_that_are_no_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"t\.json"):
        read_latency_table(path)
    with pytest.raises(DataError, match="absent"):
        read_latency_table(tmp_path / "absent.json")


def test_an_operation_with_a_foreign_name_is_refused(tmp_path: Path) -> None:
    data = table_to_json(TABLE)
    data["blocks"][0]["operations"]["../../etc"] = data["blocks"][0]["base"]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="damaged"):
        read_latency_table(path)
