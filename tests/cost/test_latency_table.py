from dataclasses import replace
from typing import Any

import pytest

from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import BlockTimings, Fit, shapes_of
from evospace.errors import DataError, UsageError
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from tests.profiling.tables import OPS, TINY, made_table, timing, verified

TABLE = made_table(TINY, OPS)
A = Architecture.of([["mbconv_k3_e1"], ["mbconv_k3_e3", "mbconv_k5_e1"], []])


def test_a_prediction_by_hand() -> None:
    """Costs are what an operation adds to its block, scaled, with so much for each, to 100 ns."""
    first, second, _ = shapes_of(TINY)
    used = [(first, "mbconv_k3_e1"), (second, "mbconv_k3_e3"), (second, "mbconv_k5_e1")]
    added = [TABLE.blocks[shape].operations[name].ns - 5_000 for shape, name in used]
    params = [TABLE.blocks[shape].params[name] for shape, name in used]
    costs = [round(1.1 * ns + 500 + 0.5 * n, -2) for ns, n in zip(added, params, strict=True)]
    expected = round(10_000 + 1.1 * 50_000, -2) + sum(costs)
    assert TABLE.predict_ns(A) == expected
    assert TABLE.sum_ns(A) == 50_000 + sum(added)
    assert TABLE.parameters(A) == sum(params)
    table = TABLE.cost_table(SearchSpace.over(TINY.blocks(), OPS))
    assert table.metric == "latency"
    assert table.cost(A) == expected
    assert all(cost % 100 == 0 for costs in table.ops for cost in costs.values())


def test_operations_that_come_later_are_moved_to_the_first_base() -> None:
    shape = shapes_of(TINY)[0]
    operations = {"conv_k3_e1": timing(9_800), "conv_k3_e2": timing(100)}
    later = BlockTimings(base=timing(5_800), operations=operations, params=dict.fromkeys(operations, 7))
    table = verified(TABLE).with_block(shape, later)
    assert table.verification is None
    assert table.operation_ns(shape, "conv_k3_e1") == 4_000
    assert table.operation_ns(shape, "conv_k3_e2") == 0
    for name in OPS:
        assert table.operation_ns(shape, name) == TABLE.operation_ns(shape, name)


def test_an_operation_that_seems_to_take_less_than_nothing_takes_nothing() -> None:
    shape = shapes_of(TINY)[0]
    blocks = {**TABLE.blocks, shape: replace(TABLE.blocks[shape], base=timing(10**9))}
    table = replace(TABLE, blocks=blocks, fit=Fit(constant=-1e9, scale=1.0, per_operation=-1e9, per_parameter=0.0))
    costs = table.cost_table(SearchSpace.over(TINY.blocks(), OPS))
    assert costs.fixed == 0
    assert set(costs.ops[0].values()) == {0}


def test_a_missing_operation_is_named() -> None:
    space = SearchSpace.over(TINY.blocks(), [*OPS, "mbconv_k11_e6", "conv_k3_e1"])
    with pytest.raises(DataError, match=r"lacks mbconv_k11_e6 at 8 -> 8 channels, stride 1, 8 pixels and 5 more"):
        TABLE.cost_table(space)
    with pytest.raises(DataError, match="unfinished"):
        replace(TABLE, fit=None).cost_table(SearchSpace.over(TINY.blocks(), OPS))


def test_other_networks_are_refused_with_the_command_that_helps() -> None:
    TABLE.require(TINY, 10)
    with pytest.raises(DataError, match=r"classes: 10 -> 7\).*--image-size 8 --image-channels 1 --classes 7"):
        TABLE.require(TINY, 7)
    with pytest.raises(DataError, match="image_size: 8 -> 9"):
        TABLE.require(replace(TINY, image_size=9), 10)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"threads": 0}, {"batch": 10**6}, {"runtime": "x"}, {"device": "tpu"}])
def test_settings_have_limits(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="allowed"):
        Setting(**wrong)
