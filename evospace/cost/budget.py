"""What the user allows a network to cost: `macs=20M`, `params=0.5M`, `macs=290M..310M`. No torch here."""

import math
import re
from dataclasses import dataclass

from evospace.errors import UsageError, unknown_name

_SCALE = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\d+)?)([KMG]?)")
_METRICS = ("macs", "params")
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

    def __str__(self) -> str:
        return f"{self.metric}={self.low}..{self.high}"

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `macs=B` (a ceiling) or `macs=lo..hi` (a window); raises `UsageError` for anything else."""
        metric, equals, amount = text.strip().partition("=")
        if not equals:
            raise UsageError(f"budget {text!r}: write METRIC=AMOUNT, e.g. macs=20M, params=0.5M or macs=290M..310M")
        if metric not in _METRICS:
            raise unknown_name("budget metric", metric, _METRICS)
        low, dots, high = amount.partition("..")
        if not dots:
            ceiling = _amount(amount, text)
            return cls(metric=metric, low=math.ceil(WINDOW * ceiling), high=ceiling)
        window = cls(metric=metric, low=_amount(low, text), high=_amount(high, text))
        if window.low > window.high:
            raise UsageError(f"budget {text!r}: the window's start is above its end; write LOW..HIGH")
        return window


def _amount(text: str, whole: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    value = float(match[1]) * _SCALE[match[2]] if match else 0.0
    if not 1 <= value <= 1e15:
        raise UsageError(
            f"budget {whole!r}: {text!r} is not an amount; write a number from 1 up, with K, M or G if you like"
        )
    return round(value)
