import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import DataError, UsageError
from evospace.ops.spec import BlockShape, OpSpec

NUMBERS = st.integers(1, 99999)
SPECS = st.builds(
    OpSpec,
    kind=st.sampled_from(["mbconv", "conv", "a", "two_words", "x3_y4"]),
    kernel=st.none() | NUMBERS,
    expansion=st.none() | NUMBERS,
    dilation=NUMBERS,
    groups=st.tuples(NUMBERS, NUMBERS),
    se=st.booleans(),
)


@given(SPECS)
def test_name_and_spec_determine_each_other(spec: OpSpec) -> None:
    assert OpSpec.parse(spec.name) == spec


@given(SPECS)
def test_json_gives_the_spec_back(spec: OpSpec) -> None:
    assert OpSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(st.text(alphabet="mbk3e10d2gx_se", max_size=20))
def test_any_text_is_a_canonical_name_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert OpSpec.parse(text).name == text


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("mbconv_k3_e6", OpSpec(kind="mbconv", kernel=3, expansion=6)),
        ("mbconv_k3_e1_d2_se", OpSpec(kind="mbconv", kernel=3, expansion=1, dilation=2, se=True)),
        ("mbconv_k3_e1_g1x2", OpSpec(kind="mbconv", kernel=3, expansion=1, groups=(1, 2))),
        ("pool", OpSpec(kind="pool")),
    ],
)
def test_names_read_as_documented(name: str, spec: OpSpec) -> None:
    assert spec.name == name
    assert OpSpec.parse(name) == spec


@pytest.mark.parametrize(
    "name",
    [
        "",
        "MBConv_k3",
        "mbconv k3",
        "mbconv_k3_e1_d1",
        "mbconv_k3_e1_g1x1",
        "_k3",
        "mbconv__k3",
        "mbconv_k3\n",
        "mbconv_e6_k3",
        "mbconv_k03",
        "mbconv_k1\u0663",
        "mbconv_k" + "9" * 5000,
    ],
)
def test_a_bad_name_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        OpSpec.parse(name)


@pytest.mark.parametrize(
    "settings",
    [{"kind": "a_k3"}, {"kind": "a_se"}, {"kind": "A"}, {"kernel": 0}, {"dilation": -1}, {"groups": (1, 0)}],
)
def test_ambiguous_or_impossible_specs_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        OpSpec(**({"kind": "a"} | settings))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": "a"},
        {"kind": 3, "groups": [1, 1]},
        {"kind": "a", "groups": [1, 1], "kernel": 0},
    ],
)
def test_another_form_of_json_is_a_data_error(data: Any) -> None:
    with pytest.raises(DataError):
        OpSpec.from_json(data)


def test_squeeze_excite_is_the_only_change_of_with_se() -> None:
    spec = OpSpec(kind="mbconv", kernel=3, expansion=1)
    assert spec.with_se().name == spec.name + "_se"


@pytest.mark.parametrize(
    ("out_channels", "stride", "keeps", "resolution"), [(8, 1, True, 7), (16, 1, False, 7), (8, 2, False, 4)]
)
def test_block_shape(out_channels: int, stride: int, keeps: bool, resolution: int) -> None:
    shape = BlockShape(in_channels=8, out_channels=out_channels, stride=stride, resolution=7)
    assert shape.keeps_shape == keeps
    assert shape.out_resolution == resolution
