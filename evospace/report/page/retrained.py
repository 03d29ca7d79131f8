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
from evospace.runs.evaluation_file import read_evaluation


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
            entry = read_evaluation(path)
            if entry["weights"] is None:
                raise ValueError("it does not tell which weights were tested")
            index = int(path.parts[-3].removeprefix("net-"))
        except (OSError, ValueError) as error:
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
