"""What the user allows a network to cost: `macs=20M`, `latency=3ms`, `macs=290M..310M,params=5M`. No torch here."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from evospace.errors import UsageError, unknown_name

METRICS = ("macs", "params", "latency")
"""Multiply-adds, trainable parameters, and the nanoseconds of one forward pass on a profiled device."""
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_TIMES = {"us": 10**3, "ms": 10**6, "s": 10**9}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\d+)?)\s*([A-Za-z]*)")
WINDOW = 0.9
"""A ceiling B means the window [0.9 B, B] (method: an architecture should use what it is given)."""
PENALTY = 0.9
"""Weight of the cost penalty: the authors' 1e-5 (M MACs)^-2 x 300^2 and 2e-4 x 66^2, made free of units."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A window ``low <= cost <= high`` in whole units of one metric."""

    metric: str
    low: int
    high: int

    @property
    def target(self) -> float:
        """Middle of the window: what the training penalty pulls the expected cost to."""
        return (self.low + self.high) / 2

    def __contains__(self, cost: object) -> bool:
        return isinstance(cost, int) and self.low <= cost <= self.high

    def below(self) -> "Budget":
        """The window of the same width just below this one (its end is this one's start less one unit)."""
        return Budget(metric=self.metric, low=max(self.low - (self.high - self.low) - 1, 0), high=self.low - 1)

    def around(self, low: float, high: float) -> "Budget":
        """The window from `low` to `high` times the target, and this one itself."""
        start, end = math.floor(low * self.target), math.ceil(high * self.target)
        return Budget(metric=self.metric, low=min(start, self.low), high=max(end, self.high))

    def __str__(self) -> str:
        return f"{self.metric}={amount(self.metric, self.low)}..{amount(self.metric, self.high)}"

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `macs=B` (a ceiling) or `macs=lo..hi` (a window); raises `UsageError` for anything else."""
        metric, low, high = _split(text, text)
        if low is None:
            return cls(metric=metric, low=math.ceil(WINDOW * high), high=high)
        if low > high:
            raise UsageError(f"budget {text!r}: the window's start is above its end; write LOW..HIGH")
        return cls(metric=metric, low=low, high=high)


def parse_budget(text: str) -> tuple[Budget, dict[str, int]]:
    """The window, and the upper limits on further metrics after it: `macs=20M,params=0.5M`.

    Raises `UsageError` for anything else.
    """
    first, *others = text.split(",")
    budget, limits = Budget.parse(first), dict[str, int]()
    for other in others:
        metric, low, high = _split(other, text)
        if low is not None or metric in (budget.metric, *limits):
            raise UsageError(
                f"budget {text!r}: after the first, write upper limits on other metrics, e.g. {first},params=1M"
            )
        limits[metric] = high
    return budget, limits


def limits_text(limits: Mapping[str, int]) -> str:
    """Upper limits as a person reads them."""
    return ", ".join(f"{metric} <= {amount(metric, high)}" for metric, high in limits.items())


def amount(metric: str, cost: int) -> str:
    """A cost that `Budget.parse` reads back as it was: whole counts, or milliseconds."""
    return f"{cost / 10**6:.6f}".rstrip("0").rstrip(".") + "ms" if metric == "latency" else str(cost)


def _split(text: str, whole: str) -> tuple[str, int | None, int]:
    metric, equals, rest = text.strip().partition("=")
    if not equals:
        raise UsageError(f"budget {whole!r}: write METRIC=AMOUNT, e.g. macs=20M, latency=3ms or macs=290M..310M")
    if metric not in METRICS:
        raise unknown_name("budget metric", metric, METRICS)
    low, dots, high = rest.partition("..")
    if not dots:
        return metric, None, _amount(metric, low, whole)
    amounts = _amount(metric, low, whole), _amount(metric, high, whole)
    if high.strip()[-1:].isalpha() and not low.strip()[-1:].isalpha():
        raise UsageError(f"budget {whole!r}: {low!r} has no unit and {high!r} has; write it twice, e.g. 290M..310M")
    return metric, *amounts


def _amount(metric: str, text: str, whole: str) -> int:
    units = _TIMES if metric == "latency" else _COUNTS
    match = _NUMBER.fullmatch(text.strip())
    if metric == "latency":
        if match and not match[2]:
            raise UsageError(f"budget {whole!r}: {text!r} has no unit; write us, ms or s after a latency, e.g. 3ms")
        form = "a time above 0 with its unit us, ms or s, e.g. 3ms"
    else:
        form = "a number from 1 up, with K, M or G (capitals) if you like"
    value = float(match[1]) * units.get(match[2], 0) if match else 0.0
    if not 1 <= value <= 1e15:
        raise UsageError(f"budget {whole!r}: {text!r} is not an amount; write {form}")
    return round(value)
