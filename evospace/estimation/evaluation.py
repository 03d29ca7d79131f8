"""One scored architecture. No torch here."""

from dataclasses import dataclass
from typing import Any

from evospace.errors import DataError
from evospace.space.architecture import Architecture


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An architecture, what it costs, and its score in one round (scores of other rounds are not comparable)."""

    architecture: Architecture
    macs: int
    params: int
    accuracy: float
    """A fraction of the scoring images."""
    round: int
    """The round that first found the architecture."""
    latency: int | None = None
    """Nanoseconds, as a latency table predicts them; `None` where the search had no table."""

    def cost(self, metric: str) -> int:
        """`macs`, `params` or `latency`."""
        cost: int | None = getattr(self, metric)
        assert cost is not None, "a search under a latency budget has a latency table"
        return cost

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "architecture": self.architecture.to_json(),
            "macs": self.macs,
            "params": self.params,
            "accuracy": self.accuracy,
            "round": self.round,
            **({} if self.latency is None else {"latency_ms": self.latency / 10**6}),
        }

    @classmethod
    def from_json(cls, data: Any) -> "Evaluation":
        """The inverse of `to_json`; raises `DataError` for another form."""
        try:
            return cls(
                architecture=Architecture.from_json(data["architecture"]),
                macs=_whole(data["macs"]),
                params=_whole(data["params"]),
                accuracy=_fraction(data["accuracy"]),
                round=_whole(data["round"]),
                latency=nanoseconds(data["latency_ms"]) if "latency_ms" in data else None,
            )
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"not a scored architecture: {error}") from error


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("macs, params and round are whole numbers, 0 or more")
    return value


def nanoseconds(ms: Any) -> int:
    """Milliseconds of a file as whole nanoseconds; raises `ValueError` for anything else."""
    if type(ms) not in (int, float) or not 0 <= ms < 2**40:
        raise ValueError("a latency is a number of milliseconds, 0 or more")
    ns: int = round(ms * 10**6)
    return ns


def _fraction(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError("accuracy is a number from 0 to 1")
    return float(value)
