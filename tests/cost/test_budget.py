import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.budget import Budget, limits_text, parse_budget
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


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("latency=3ms", 2_700_000, 3_000_000),
        ("latency=500us", 450_000, 500_000),
        ("latency=1s", 900_000_000, 10**9),
        ("latency=0.5 ms..2.5 ms", 500_000, 2_500_000),
        ("latency=900us..1ms", 900_000, 1_000_000),
    ],
)
def test_latencies_are_nanoseconds(text: str, low: int, high: int) -> None:
    assert Budget.parse(text) == Budget(metric="latency", low=low, high=high)


@pytest.mark.parametrize("text", ["latency=3", "latency=3..4ms", "latency=3ms..4"])
def test_a_latency_without_a_unit(text: str) -> None:
    with pytest.raises(UsageError, match=r"has no unit; write us, ms or s after a latency, e\.g\. 3ms"):
        Budget.parse(text)


@pytest.mark.parametrize("text", [f"latency={a}" for a in ("0ms", "-3ms", "nanms", "3m", "3M", "ms")])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="unit us, ms or s"):
        Budget.parse(text)


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_latency_text_gives_the_budget_back(low: int, width: int) -> None:
    budget = Budget(metric="latency", low=low, high=low + width)
    assert Budget.parse(str(budget)) == budget


def test_a_unit_at_the_upper_end_alone_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"'290' has no unit and '310M' has; write it twice, e\.g\. 290M\.\.310M"):
        Budget.parse("macs=290..310M")
    assert Budget.parse("params=3K..4000") == Budget(metric="params", low=3000, high=4000)


def test_further_upper_limits() -> None:
    budget, limits = parse_budget("macs=20M, params=0.5M,latency=3ms")
    assert budget == Budget.parse("macs=20M")
    assert limits == {"params": 500_000, "latency": 3_000_000}
    assert limits_text(limits) == "params <= 500000, latency <= 3ms"
    assert parse_budget("params=7") == (Budget.parse("params=7"), {})


@pytest.mark.parametrize("text", ["macs=1M,", "macs=1M,macs=2M", "macs=1M,params=1..2", "macs=1M,params=1M,params=2M"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        parse_budget(text)


def test_a_window_around_the_target_holds_the_budget() -> None:
    budget = Budget(metric="macs", low=90, high=110)
    assert budget.around(0.5, 1.5) == Budget(metric="macs", low=50, high=150)
    assert budget.around(1.0, 1.0) == budget
