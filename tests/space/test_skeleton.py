import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import DataError, UsageError
from evospace.space.skeleton import Skeleton, make_skeleton, round_channels

SKELETONS = ("mobile", "latency", "small8", "small32", "small64")


def make(name: str | None = None, image_size: int = 32) -> Skeleton:
    return make_skeleton(name, image_size=image_size, image_channels=3)


@pytest.mark.parametrize(("name", "blocks"), [("mobile", 22), ("latency", 21)])
def test_the_papers_skeletons_have_its_number_of_blocks(name: str, blocks: int) -> None:
    assert len(make(name, 224).blocks()) == blocks


def test_the_mobile_skeleton_is_the_papers() -> None:
    blocks = make("mobile", 224).blocks()
    reductions = [(i, b.in_channels, b.out_channels, b.stride) for i, b in enumerate(blocks) if not b.keeps_shape]
    assert reductions == [
        (1, 16, 24, 2),
        (5, 24, 40, 2),
        (9, 40, 80, 2),
        (13, 80, 96, 1),
        (17, 96, 192, 2),
        (21, 192, 320, 1),
    ]
    assert [b.resolution for b in blocks if b.stride == 2] == [112, 56, 28, 14]
    assert make("mobile", 224).final_resolution == 7


@given(st.sampled_from(SKELETONS), st.integers(4, 1024))
def test_blocks_follow_one_another(name: str, image_size: int) -> None:
    skeleton = make(name, image_size)
    blocks = skeleton.blocks()
    assert (blocks[0].in_channels, blocks[0].resolution) == (skeleton.stem_channels, skeleton.stem_resolution)
    for before, after in itertools.pairwise(blocks):
        assert (after.in_channels, after.resolution) == (before.out_channels, before.out_resolution)
    assert blocks[-1].out_channels == skeleton.final_channels
    assert skeleton.final_resolution >= 1


@given(st.integers(4, 1024))
def test_every_size_has_a_skeleton(image_size: int) -> None:
    assert make(None, image_size).name in SKELETONS


@pytest.mark.parametrize(("size", "name"), [(8, "small8"), (28, "small32"), (64, "small64"), (224, "mobile")])
def test_a_size_chooses_its_skeleton(size: int, name: str) -> None:
    assert make(None, size).name == name


@pytest.mark.parametrize("size", [0, 3, 1025])
def test_sizes_out_of_range_are_usage_errors(size: int) -> None:
    with pytest.raises(UsageError, match="image size"):
        make(None, size)


def test_an_unknown_skeleton_names_near_matches() -> None:
    with pytest.raises(UsageError, match="did you mean mobile"):
        make("mobil")


@given(st.floats(1, 4096))
def test_rounded_channels_are_multiples_of_8_and_lose_at_most_a_tenth(channels: float) -> None:
    rounded = round_channels(channels)
    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels
    assert rounded <= max(8, 1.1 * channels, channels + 8)


def test_scaling_leaves_the_first_width() -> None:
    scaled = make("mobile", 224).scaled(2.0)
    assert [s.channels for s in scaled.stages] == [16, 48, 80, 160, 192, 384, 640]


@given(st.sampled_from(SKELETONS))
def test_json_gives_the_skeleton_back(name: str) -> None:
    skeleton = make(name)
    assert Skeleton.from_json(json.loads(json.dumps(skeleton.to_json()))) == skeleton


def changed(**settings: Any) -> dict[str, Any]:
    return make().to_json() | settings


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        changed(image_size=0),
        changed(head_channels="many"),
        changed(other=1),
        changed(stages=[]),
        changed(stages=[{"channels": 16, "entry": "jump", "repeat": 1}]),
        changed(stages=[{"channels": 16, "entry": "start", "repeat": 0}]),
        changed(stages=[{"channels": 16, "entry": "start", "repeat": -1}]),
    ],
)
def test_another_form_of_json_is_a_data_error(data: Any) -> None:
    with pytest.raises(DataError, match="skeleton"):
        Skeleton.from_json(data)
