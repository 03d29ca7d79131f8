import contextlib
import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import UsageError
from evospace.ops.filters import parse_pools
from evospace.ops.pools import POOLS, pool_with
from evospace.ops.spec import OpSpec

SIGNS: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
"""Not the module's own table, which is under test."""
CONDITIONS = st.tuples(
    st.sampled_from(["kernel", "expansion", "dilation"]), st.sampled_from(list(SIGNS)), st.integers(0, 12)
)


def parse(text: str) -> list[str]:
    return [spec.name for spec in parse_pools(text, POOLS)]


def by_hand(pool: str, conditions: list[tuple[str, str, int]]) -> list[OpSpec]:
    kept = list(POOLS[pool])
    for setting, sign, number in conditions:
        present = [spec for spec in kept if getattr(spec, setting) is not None]
        kept = [spec for spec in present if SIGNS[sign](getattr(spec, setting), number)]
    return kept


@given(st.sampled_from(sorted(POOLS)), st.lists(CONDITIONS, max_size=3), st.sampled_from(["", " "]))
def test_all_conditions_hold_and_nothing_else_is_lost(
    pool: str, conditions: list[tuple[str, str, int]], space: str
) -> None:
    text = ":".join([pool, *(f"{setting}{space}{sign}{space}{number}" for setting, sign, number in conditions)])
    if wanted := by_hand(pool, conditions):
        assert list(parse_pools(text, POOLS)) == wanted
    else:
        with pytest.raises(UsageError, match="no operation"):
            parse_pools(text, POOLS)


@pytest.mark.parametrize("sign", SIGNS)
def test_every_operator_at_its_border(sign: str) -> None:
    assert parse(f"modern:kernel{sign}5") == [spec.name for spec in by_hand("modern", [("kernel", sign, 5)])]


@given(st.lists(st.sampled_from(sorted(POOLS)), min_size=1, max_size=6))
def test_several_pools_are_joined_at_their_first_positions(pools: list[str]) -> None:
    every = [spec.name for pool in pools for spec in POOLS[pool]]
    assert parse(",".join(pools)) == list(dict.fromkeys(every))


@given(st.text(alphabet="modern27:,<>=!kse 5", max_size=25))
def test_any_text_is_a_pool_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_pools(text, POOLS)


def test_conditions_add_up_and_pools_join_without_doubles() -> None:
    both = pool_with("modern:kernel<=5:expansion<=3")
    assert set(both) == set(pool_with("modern:kernel<=5")) & set(pool_with("modern:expansion<=3"))
    joined = pool_with("mobile27, grouped72,modern")
    assert joined[:72] == POOLS["grouped72"]
    assert len(joined) == len(set(joined)) == len({*POOLS["grouped72"], *POOLS["modern"]})


def test_kind_and_se() -> None:
    assert parse("modern:kind=repvgg") == ["repvgg_k3", "repvgg_k5"]
    assert parse("latency19:kind!=mbconv:kind!=factorized") == [spec.name for spec in POOLS["latency19"][9:13]]
    gates = parse("modern:se==true")
    assert gates
    assert all(name.endswith("_se") for name in gates)
    assert set(gates) | set(parse("modern:se=false")) == set(parse("modern"))


def test_a_setting_that_an_operation_lacks_does_not_match() -> None:
    assert not {spec.kernel for spec in parse_pools("modern:kernel!=3", POOLS)} & {None, 3}
    assert "uib_ffn_e2" in parse("modern:expansion=2")
    assert not {"uib_ffn_e2", "repvgg_k3"} & {*parse("modern:kernel>=1:expansion>=1")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("mobile27,", "empty"),
        ("mobile27,,modern", "empty"),
        (",modern", "empty"),
        ("moderm", "did you mean modern"),
        ("mobile27,modren:kernel=3", "did you mean modern"),
        ("modern:kernl<=5", "did you mean kernel"),
        ("modern:groups=1", "unknown setting"),
        ("modern:", "is no condition"),
        ("modern::kernel=3", "is no condition"),
        ("modern:kernel", "is no condition"),
        ("modern:<=5", "is no condition"),
        ("modern:3<=kernel<=5", "is no condition"),
        ("modern:kernel=>5", "kernel takes <=, >=, <, >, ==, =, !=, not '=>'"),
        ("modern:kernel~5", "not '~'"),
        ("modern:kind<mbconv", "kind takes =, ==, !=, not '<'"),
        ("modern:se>true", "se takes"),
        ("modern:kernel<=", "whole number, not ''"),
        ("modern:kernel<=five", "whole number, not 'five'"),
        ("modern:kernel<=-5", "whole number, not '-5'"),
        ("modern:kernel<=5.0", "whole number"),
        ("modern:kernel<=1" + 20 * "0", "whole number"),
        ("modern:kind!=involutoin", "did you mean involution"),
        ("modern:se=1", "true or false, not '1'"),
        ("modern:kernel<=3:kernel>=5", "no operation of modern matches"),
        ("mobile27,modern:kind=mbconv:kernel=4", "no operation of modern matches"),
    ],
)
def test_a_mistake_is_one_line_that_helps(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        pool_with(text)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
