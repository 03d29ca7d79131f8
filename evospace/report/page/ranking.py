"""How far a run's scores are to be trusted: `ranking.json`, as `evospace study ranking` writes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import reason
from evospace.reading import read_json

LARGEST = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A rank correlation of scores and tested accuracies, and its 95 % interval (`None` for too many ties)."""

    name: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Networks of one round that were retrained to judge their scores."""

    round: int
    """The last one at that time."""

    points: tuple[tuple[float, float, int], ...]
    """Score and tested top-1 (fractions), and MACs, of each."""
    scored: int
    """Networks in the budget that they stand for."""
    correlations: tuple[Correlation, ...]


def read_ranking(path: Path, notes: list[str]) -> Ranking | None:
    """`None` where there is none; a damaged one is noted and passed over."""
    try:
        data = read_json(path, LARGEST)
        return _ranking(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        notes.append(f"{path.name} was passed over: {reason(error)}.")
        return None


def _ranking(data: Mapping[str, Any]) -> Ranking:
    tested = [entry for entry in data["networks"] if "top1" in entry]
    points = tuple((_within(e["score"], 0), _within(e["top1"], 0), int(e["macs"])) for e in tested)
    found = [(text, data[key]) for key, text in (("kendall", "Kendall's tau"), ("spearman", "Spearman's rho"))]
    correlations = tuple(
        Correlation(name=text, value=_within(entry["value"], -1), low=_end(entry["low"]), high=_end(entry["high"]))
        for text, entry in found
        if entry is not None
    )
    round, scored = int(data["round"]), int(data["scored"])
    return Ranking(round=round, points=points, scored=scored, correlations=correlations)


def _end(value: Any) -> float | None:
    return None if value is None else _within(value, -1)


def _within(value: Any, low: int) -> float:
    if type(value) not in (int, float) or not low <= value <= 1:
        raise ValueError("scores and top-1 are numbers from 0 to 1, correlations from -1 to 1")
    return float(value)
