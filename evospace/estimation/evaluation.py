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

    def cost(self, metric: str) -> int:
        """`macs` or `params`."""
        return self.macs if metric == "macs" else self.params

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "architecture": self.architecture.to_json(),
            "macs": self.macs,
            "params": self.params,
            "accuracy": self.accuracy,
            "round": self.round,
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
            )
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"not a scored architecture: {error}") from error


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("macs, params and round are whole numbers, 0 or more")
    return value


def _fraction(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError("accuracy is a number from 0 to 1")
    return float(value)
