"""`front.json`: the versioned, self-contained result of a search."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.cost.budget import parse_budget
from evospace.errors import DataError, MissingOperationError, UsageError, reason
from evospace.estimation.evaluation import Evaluation, nanoseconds
from evospace.ops.spec import OpSpec
from evospace.reading import read_json
from evospace.runs.contents import UNKNOWN, Origin
from evospace.space.described import describe_operation, require_channels, require_fit, require_operations
from evospace.space.skeleton import Skeleton

FORMAT = 1
LARGEST = 1 << 26
"""No front is larger than this many bytes."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """A Pareto front and everything that is needed to build its networks again."""

    budget: str
    data: str
    class_names: tuple[str, ...]
    skeleton: Skeleton
    seed: int
    mean: tuple[float, ...] = ()
    """Of each image channel, on the scale 0..1: what the supernet's inputs are less; empty where it is not known."""
    std: tuple[float, ...] = ()
    """Of each image channel: what they are divided by."""
    members: tuple[Evaluation, ...]
    measured: tuple[int | None, ...] | None = None
    """Nanoseconds of each member measured end to end (`None` where it could not be); absent until it was tried."""
    latency_of: str = ""
    """The runtime, device, batch and threads that the latencies belong to."""
    origin: Origin = UNKNOWN
    """The images that it was searched on, so that a copy of the file alone knows those that were left for the test."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def metric(self) -> str:
        """What the budget counts."""
        return parse_budget(self.budget)[0].metric

    def to_json(self) -> dict[str, Any]:
        """The file's content (format 1)."""
        names = {name for e in self.members for block in e.architecture.blocks for name in block}
        return {
            "format": FORMAT,
            "budget": self.budget,
            "data": self.data,
            "classes": self.classes,
            "class_names": list(self.class_names),
            "image_size": self.skeleton.image_size,
            "skeleton": self.skeleton.to_json(),
            "seed": self.seed,
            "mean": list(self.mean),
            "std": list(self.std),
            "operations": {name: describe_operation(OpSpec.parse(name)) for name in sorted(names)},
            "origin": self.origin.to_json(),
            **({"latency_of": self.latency_of} if self.latency_of else {}),
            "front": [e.to_json() | self._measured(i) for i, e in enumerate(self.members)],
        }

    def _measured(self, index: int) -> dict[str, float | None]:
        if self.measured is None:
            return {}
        ns = self.measured[index]
        return {"latency_measured_ms": None if ns is None else ns / 10**6}


def read_front(path: Path) -> Front:
    """Read `front.json`; raises `DataError` for a missing, damaged or foreign file. No name in it is used as a path."""
    try:
        data = read_json(path, LARGEST)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a front ({reason(error)}); {_HINT}") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or data["format"] != FORMAT:
        raise DataError(f"{path}: not a front.json of format {FORMAT}; {_HINT}")
    try:
        return _front(data)
    except MissingOperationError as error:
        raise MissingOperationError(f"{path}: {error}") from error
    except (DataError, UsageError) as error:
        raise DataError(f"{path}: {error}; {_HINT}") from error
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: damaged front.json ({type(error).__name__}: {error}); {_HINT}") from error


_HINT = "give one that a search wrote"


def _front(data: dict[str, Any]) -> Front:
    require_operations(data["operations"])
    skeleton = Skeleton.from_json(data["skeleton"])
    parse_budget(str(data["budget"]))
    if not all(isinstance(name, str) for name in data["class_names"]) or not data["class_names"]:
        raise TypeError("class_names is a list of texts")
    if not all(isinstance(data[key], str) for key in ("budget", "data")) or type(data["seed"]) is not int:
        raise TypeError("budget and data are texts, seed is a whole number")
    mean, std = (tuple(data.get(key, ())) for key in ("mean", "std"))  # earlier versions did not store them
    require_channels(mean, std, skeleton)
    if not all(type(number) is float and math.isfinite(number) for number in (*mean, *std)):
        raise TypeError("mean and std are numbers")
    return Front(
        budget=data["budget"],
        data=data["data"],
        class_names=tuple(data["class_names"]),
        skeleton=skeleton,
        seed=data["seed"],
        mean=mean,
        std=std,
        members=_members(data["front"], skeleton),
        measured=_measured(data["front"]),
        latency_of=f"{data.get('latency_of', '')!s:.200}",
        origin=Origin.from_json(data.get("origin", {})),  # earlier versions did not store it
    )


def _measured(entries: list[dict[str, Any]]) -> tuple[int | None, ...] | None:
    if not entries or not all("latency_measured_ms" in entry for entry in entries):
        return None
    times = (entry["latency_measured_ms"] for entry in entries)
    return tuple(None if ms is None else nanoseconds(ms) for ms in times)


def _members(data: Any, skeleton: Skeleton) -> tuple[Evaluation, ...]:
    if not isinstance(data, list):
        raise TypeError("front is a list of scored architectures")
    members = tuple(Evaluation.from_json(entry) for entry in data)
    for e in members:
        require_fit(e.architecture, skeleton)
        for name in {name for names in e.architecture.blocks for name in names}:
            OpSpec.parse(name)
    return members
