import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import UsageError
from evospace.ops.filters import COMPARE
from evospace.ops.pools import POOLS, pool_with


@given(
    name=st.sampled_from(sorted(POOLS)),
    setting=st.sampled_from(["kernel", "expansion", "dilation"]),
    sign=st.sampled_from(["<=", ">=", "<", ">", "=", "==", "!="]),
    value=st.integers(0, 12),
)
def test_a_filter_keeps_what_matches_in_the_pools_order(name: str, setting: str, sign: str, value: int) -> None:
    wanted = [
        s for s in POOLS[name] if getattr(s, setting) is not None and COMPARE[sign](getattr(s, setting), value)
    ]  # fmt: skip
    text = f"{name}:{setting}{sign}{value}"
    if wanted:
        assert list(pool_with(text)) == wanted
    else:
        with pytest.raises(UsageError, match="no operation"):
            pool_with(text)


def test_conditions_add_up_and_pools_join_without_doubles() -> None:
    both = pool_with("modern:kernel<=5:expansion<=3")
    assert set(both) == set(pool_with("modern:kernel<=5")) & set(pool_with("modern:expansion<=3"))
    joined = pool_with("mobile27, grouped72,modern")
    assert joined[:72] == POOLS["grouped72"]
    assert len(joined) == len(set(joined)) == len({*POOLS["grouped72"], *POOLS["modern"]})
    assert not [s for s in pool_with("modern:kind!=involution:se=false") if s.kind == "involution" or s.se]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("moderm", "modern"),
        ("modern:kernl<=5", "kernel"),
        ("modern:kernel~5", "condition|takes"),
        ("modern:kernel<=x", "whole number"),
        ("modern:kind=repvg", "repvgg"),
        ("modern:kind<repvgg", "takes"),
        ("modern:", "condition"),
        ("modern,,mobile27", "empty"),
    ],
)
def test_a_mistake_is_one_line_that_helps(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint) as caught:
        pool_with(text)
    assert len(str(caught.value).splitlines()) == 1
