import pytest

from evospace.errors import UsageError
from evospace.ops.pools import POOLS, pool_with


@pytest.mark.parametrize(("pool", "size"), [("mobile27", 27), ("grouped72", 72), ("latency19", 19)])
def test_sizes_without_duplicates(pool: str, size: int) -> None:
    names = [spec.name for spec in POOLS[pool]]
    assert len(names) == len(set(names)) == size


@pytest.mark.parametrize(
    ("pool", "position", "name"),
    [
        ("mobile27", 0, "mbconv_k3_e1"),
        ("mobile27", 1, "mbconv_k3_e1_d2"),
        ("mobile27", 3, "mbconv_k3_e3"),
        ("mobile27", 8, "mbconv_k3_e6_d3"),
        ("mobile27", 9, "mbconv_k5_e1"),
        ("mobile27", 20, "mbconv_k11_e6"),
        ("mobile27", 21, "factorized_k5_e1"),
        ("mobile27", 26, "factorized_k7_e4"),
        ("grouped72", 26, "factorized_k7_e4"),
        ("grouped72", 27, "mbconv_k3_e1_g1x2"),
        ("grouped72", 28, "mbconv_k3_e1_g2x1"),
        ("grouped72", 29, "mbconv_k3_e1_g2x2"),
        ("grouped72", 30, "mbconv_k3_e3_g1x2"),
        ("grouped72", 71, "mbconv_k11_e6_g2x2"),
        ("latency19", 0, "mbconv_k3_e1"),
        ("latency19", 8, "mbconv_k7_e6"),
        ("latency19", 9, "conv_k3_e1"),
        ("latency19", 11, "dualconv_k3_e1"),
        ("latency19", 13, "factorized_k5_e1"),
        ("latency19", 18, "factorized_k7_e4"),
    ],
)
def test_order_is_the_authors(pool: str, position: int, name: str) -> None:
    assert POOLS[pool][position].name == name


def test_grouped72_starts_with_mobile27() -> None:
    assert POOLS["grouped72"][:27] == POOLS["mobile27"]


def test_user_kinds_follow_the_pool_and_nothing_comes_twice() -> None:
    pool = pool_with("mobile27", ("factorized", "conv"))
    assert [spec.name for spec in pool[27:]] == ["conv_k3_e1", "conv_k3_e2"]


def test_an_unknown_pool_names_near_matches() -> None:
    with pytest.raises(UsageError, match="mobile27"):
        pool_with("mobil27")
