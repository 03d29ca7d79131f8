"""Accuracies of networks trained on their own: `retrained/net-NN/seed-S/<last|ema>-evaluation[-<other data>].json`."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import reason
from evospace.estimation.evaluation import Evaluation
from evospace.reading import read_json

FORMAT = 1
_NUMBERS = ("loss", "calibration_error", "macs", "params")
_OPTIONAL = ("top5", "latency_ms", "throughput_images_per_s")


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """The evaluations of one network under one kind of weights on the same data, a seed each."""

    index: int
    """Of the network, in the front."""
    weights: str
    """`last` or `ema`."""
    data: str
    """What it was tested on."""
    elsewhere: bool
    """Whether those are other images than it was trained on."""
    entries: tuple[dict[str, Any], ...]

    def mean(self, key: str) -> float | None:
        """Over the seeds that have the number."""
        values = self._values(key)
        return statistics.fmean(values) if values else None

    def spread(self, key: str) -> float | None:
        """Standard deviation over the seeds; `None` for fewer than two."""
        values = self._values(key)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, key: str) -> Sequence[float]:
        return [float(entry[key]) for entry in self.entries if entry.get(key) is not None]


def read_retrained(root: Path, front: Sequence[Evaluation], notes: list[str]) -> tuple[Retrained, ...]:
    """Every evaluation below `root`, by network, weights and data; a damaged file is noted and passed over."""
    found: dict[tuple[int, str, str, str], list[dict[str, Any]]] = defaultdict(list)  # two folders may share a name
    for path in sorted(root.glob("net-*/seed-*/*-evaluation*.json")):
        where = path.relative_to(root.parent)
        try:
            entry = read_json(path, 1 << 20)
            _check(entry)
            index = int(path.parts[-3].removeprefix("net-"))
        except (OSError, ValueError, TypeError, KeyError) as error:
            notes.append(f"{where} was passed over: {reason(error)}.")
            continue
        if not _of_front(path.parents[1] / "network.json", index, front):
            notes.append(f"{where} was passed over: it is of another network than the front's {index}.")
            continue
        place = path.stem.partition("-evaluation")[2]
        found[index, entry["weights"], str(entry["data"]), place].append(entry)
    return tuple(
        Retrained(index=i, weights=w, data=d, elsewhere=p != "", entries=tuple(found[i, w, d, p]))
        for i, w, d, p in sorted(found)
    )


def _of_front(description: Path, index: int, front: Sequence[Evaluation]) -> bool:
    """Whether what was retrained has the architecture of the front's member `index`, as far as that is known."""
    try:
        blocks = read_json(description, 1 << 24)["architecture"]
    except (OSError, ValueError, TypeError, KeyError):
        return True
    return index < len(front) and blocks == front[index].architecture.to_json()


def _check(entry: Any) -> None:
    """Raise `ValueError` unless it is an evaluation of format 1."""
    if not isinstance(entry, dict) or type(entry.get("format")) is not int or entry["format"] != FORMAT:
        raise ValueError(f"it is not an evaluation of format {FORMAT}")
    if entry.get("weights") not in ("last", "ema") or type(entry.get("seed")) is not int:
        raise ValueError("weights are last or ema, a seed is a whole number")
    for key in ("top1", *_NUMBERS):
        if not _number(entry.get(key)):
            raise ValueError(f"{key} is not a number of 0 or more")
    for key in _OPTIONAL:
        if entry.get(key) is not None and not _number(entry[key]):
            raise ValueError(f"{key} is not a number of 0 or more")
    if max(entry["top1"], entry.get("top5") or 0) > 1:
        raise ValueError("top1 and top5 are fractions")
    entry.setdefault("data", "")


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63
