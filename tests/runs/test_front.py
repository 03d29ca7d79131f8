import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evospace.errors import DataError
from evospace.estimation.evaluation import Evaluation
from evospace.runs.contents import UNKNOWN, Origin
from evospace.runs.front import Front, read_front
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
ARCHITECTURE = Architecture.of([["mbconv_k3_e1"]] * len(SKELETON.blocks()))
FRONT = Front(
    budget="macs=1M",
    data="digits",
    class_names=("a", "</script>"),
    skeleton=SKELETON,
    seed=0,
    mean=(0.3,),
    std=(0.25,),
    origin=Origin(data="digits", place="0a", test="1b", flip=False),
    members=(Evaluation(architecture=ARCHITECTURE, macs=5, params=6, accuracy=0.5, round=2),),
)


def test_a_front_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    path.write_text(json.dumps(FRONT.to_json()))
    assert read_front(path) == FRONT
    earlier = {key: value for key, value in FRONT.to_json().items() if key not in ("mean", "std", "origin")}
    path.write_text(json.dumps(earlier))
    assert read_front(path) == replace(FRONT, mean=(), std=(), origin=UNKNOWN)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"skeleton": {}},
        {"operations": {"mbconv_k3_e1": {"kind": "os.system"}}},
        {"front": [{"architecture": 3}]},
        {"class_names": None},
        {"operations": None},
        {"mean": [0.5, 0.5]},
        {"mean": [0.5, 0.5], "std": [0.5, 0.5]},
        {"mean": [True]},
        {"std": [float("inf")]},
        {"mean": 3},
        {"origin": 3},
        {"origin": {"flip": "no"}},
        {"origin": {"images": "digits"}},
    ],
)
def test_foreign_and_damaged_files_are_data_errors(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    path.write_text(json.dumps(FRONT.to_json() | change))
    with pytest.raises(DataError, match=r"front|format|skeleton|architecture|operation"):
        read_front(path)
    path.write_text("not json")
    with pytest.raises(DataError, match="cannot be read"):
        read_front(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("macs", value) for value in (True, 5.0, "5", -1, 2**63, None)),
        *(("accuracy", value) for value in (True, "0.5", 1.5, -0.1)),
        ("round", 1.5),
    ],
)
def test_numbers_are_not_taken_from_other_types(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    content = FRONT.to_json()
    content["front"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a scored architecture"):
        read_front(path)
