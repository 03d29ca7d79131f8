import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.errors import UsageError


@pytest.mark.parametrize(
    ("text", "metric", "low", "high"),
    [
        ("macs=20M", "macs", 18_000_000, 20_000_000),
        ("params=0.5M", "params", 450_000, 500_000),
        ("macs=290M..310M", "macs", 290_000_000, 310_000_000),
        (" macs=1.5G ", "macs", 1_350_000_000, 1_500_000_000),
        ("macs=3e8", "macs", 270_000_000, 300_000_000),
        ("params=7", "params", 7, 7),
        ("macs=5K..5K", "macs", 5000, 5000),
    ],
)
def test_what_users_write(text: str, metric: str, low: int, high: int) -> None:
    assert Budget.parse(text) == Budget(metric=metric, low=low, high=high)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20M",
        "macs",
        "macs=",
        "macs=0",
        "macs=-1",
        "macs=20m",
        "macs=1e99",
        "macs=nan",
        "macs=3..2",
        "macs=1..",
        "flops=3",
    ],
)
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        Budget.parse(text)


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_text_gives_the_budget_back(one: int, other: int) -> None:
    budget = Budget(metric="macs", low=min(one, other), high=max(one, other))
    assert Budget.parse(str(budget)) == budget
    assert budget.low <= budget.target <= budget.high


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_the_window_below_ends_just_under_the_window(low: int, width: int) -> None:
    budget = Budget(metric="macs", low=low, high=low + width)
    below = budget.below()
    assert below.high == low - 1
    assert below.high not in budget
    assert below.low == max(low - 1 - width, 0)


def test_both_ends_are_inside() -> None:
    budget = Budget(metric="macs", low=9, high=10)
    assert [cost for cost in range(12) if cost in budget] == [9, 10]
