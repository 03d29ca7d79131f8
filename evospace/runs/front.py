"""`front.json`: the versioned, self-contained result of a search."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import DataError, UsageError
from evospace.estimation.evaluation import Evaluation
from evospace.ops.kinds import KINDS
from evospace.ops.spec import OpSpec
from evospace.ops.user import require_source
from evospace.space.skeleton import Skeleton

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Front:
    """A Pareto front and everything that is needed to build its networks again."""

    budget: str
    data: str
    class_names: tuple[str, ...]
    skeleton: Skeleton
    seed: int
    members: tuple[Evaluation, ...]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

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
            "operations": {name: _describe(OpSpec.parse(name)) for name in sorted(names)},
            "front": [e.to_json() for e in self.members],
        }


def _describe(spec: OpSpec) -> dict[str, Any]:
    source = KINDS[spec.kind].source_sha256 if spec.kind in KINDS else None
    return spec.to_json() | {"source_sha256": source}


def read_front(path: Path) -> Front:
    """Read `front.json`; raises `DataError` for a missing, damaged or foreign file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as a front ({error})") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{path}: not a front.json of format {FORMAT}")
    try:
        for name, described in data["operations"].items():
            source = described.pop("source_sha256")
            if OpSpec.from_json(described).name != name:
                raise DataError(f"{path}: operation {name!r} does not fit its description")
            require_source(described["kind"], source)
        skeleton = Skeleton.from_json(data["skeleton"])
        return Front(
            budget=str(data["budget"]),
            data=str(data["data"]),
            class_names=tuple(map(str, data["class_names"])),
            skeleton=skeleton,
            seed=int(data["seed"]),
            members=_members(data["front"], skeleton),
        )
    except UsageError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: damaged front.json ({type(error).__name__}: {error})") from error


def _members(data: Sequence[Any], skeleton: Skeleton) -> tuple[Evaluation, ...]:
    members = tuple(Evaluation.from_json(entry) for entry in data)
    shapes = skeleton.blocks()
    for e in members:
        blocks = e.architecture.blocks
        if len(blocks) != len(shapes) or not all(n or s.keeps_shape for n, s in zip(blocks, shapes, strict=True)):
            raise ValueError("an architecture does not fit the skeleton")
        for name in {name for names in blocks for name in names}:
            OpSpec.parse(name)
    return members
