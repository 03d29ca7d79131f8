"""A network that is known apart from any run: what it is built of, what goes in and what comes out. No torch here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evospace.errors import DataError, MissingOperationError, UsageError
from evospace.ops.kinds import KINDS
from evospace.ops.pools import POOLS
from evospace.ops.spec import OpSpec
from evospace.ops.user import require_source
from evospace.space.architecture import Architecture
from evospace.space.published import PUBLISHED, published_architecture, published_skeleton
from evospace.space.skeleton import Skeleton

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class DescribedNetwork:
    """Everything that is needed to build a network again and to feed it."""

    name: str
    """What a user calls it, e.g. `nsenet` or `runs/mine/front.json#2`."""
    skeleton: Skeleton
    architecture: Architecture
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    """Of each image channel, on the scale 0..1, taken off the inputs; empty where the network was never trained."""
    std: tuple[float, ...] = ()
    """Of each image channel; inputs are divided by it."""
    data: str = ""
    """What it was searched or trained on; empty for neither."""

    def __post_init__(self) -> None:
        """Raises `DataError` where the architecture does not fit the skeleton."""
        require_fit(self.architecture, self.skeleton)
        if not self.class_names:
            raise DataError("a network has at least one class")
        require_channels(self.mean, self.std, self.skeleton)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.skeleton.image_channels, self.skeleton.image_size, self.skeleton.image_size

    def trained_on(
        self, data: str, class_names: Iterable[str], mean: Iterable[float], std: Iterable[float]
    ) -> "DescribedNetwork":
        """The same network for other images and classes."""
        return replace(self, data=data, class_names=tuple(class_names), mean=tuple(mean), std=tuple(std))

    def to_json(self) -> dict[str, Any]:
        """A full description in plain JSON values, with the hash of the source of a user's own operations."""
        names = {name for block in self.architecture.blocks for name in block}
        return {
            "format": FORMAT,
            "name": self.name,
            "skeleton": self.skeleton.to_json(),
            "architecture": self.architecture.to_json(),
            "operations": {name: describe_operation(OpSpec.parse(name)) for name in sorted(names)},
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "data": self.data,
        }

    @classmethod
    def from_json(cls, data: Any) -> "DescribedNetwork":
        """The inverse of `to_json`.

        Raises `DataError` for another form, and where a user's operation is not loaded or has another source.
        """
        try:
            if type(data["format"]) is not int or data["format"] != FORMAT:
                raise DataError(f"not a network's description of format {FORMAT}")
            require_operations(data["operations"])
            texts = [data["name"], data["data"], *data["class_names"]]
            numbers = [*data["mean"], *data["std"]]
            if not all(isinstance(t, str) for t in texts) or not all(type(n) in (int, float) for n in numbers):
                raise TypeError("names are texts, mean and std are numbers")
            if not all(map(math.isfinite, numbers)):
                raise ValueError("mean and std are finite")
            return cls(
                name=data["name"],
                skeleton=Skeleton.from_json(data["skeleton"]),
                architecture=Architecture.from_json(data["architecture"]),
                class_names=tuple(data["class_names"]),
                mean=tuple(data["mean"]),
                std=tuple(data["std"]),
                data=data["data"],
            )
        except MissingOperationError:
            raise
        except UsageError as error:
            raise DataError(str(error)) from error
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"not a network's description ({type(error).__name__}: {error})") from error


def describe_operation(spec: OpSpec) -> dict[str, Any]:
    """An operation's settings, and the sha256 of its source where a user has defined it."""
    source = KINDS[spec.kind].source_sha256 if spec.kind in KINDS else None
    return spec.to_json() | {"source_sha256": source}


def require_operations(described: Any) -> None:
    """Check descriptions by name; raises `DataError`, `MissingOperationError`, or what a malformed mapping raises."""
    for name, stored in described.items():
        settings = {key: value for key, value in stored.items() if key != "source_sha256"}
        source = stored["source_sha256"]
        if OpSpec.from_json(settings).name != name:
            raise DataError(f"operation {name!r:.80} does not fit its description")
        if source is not None and not isinstance(source, str):
            raise TypeError("source_sha256 is a text or null")
        require_source(settings["kind"], source)


def require_fit(architecture: Architecture, skeleton: Skeleton) -> None:
    """Raise `DataError` unless it has a block for each of the skeleton's, with operations where the shape changes."""
    shapes, blocks = skeleton.blocks(), architecture.blocks
    if len(blocks) != len(shapes) or not all(n or s.keeps_shape for n, s in zip(blocks, shapes, strict=True)):
        raise DataError("an architecture does not fit the skeleton")


def require_channels(mean: Sequence[float], std: Sequence[float], skeleton: Skeleton) -> None:
    """Raise `DataError` unless both have a value for each image channel, or none."""
    if len(mean) != len(std) or len(mean) not in (0, skeleton.image_channels):
        raise DataError("mean and std have a value for each image channel")


def published_network(key: str) -> DescribedNetwork:
    """A published network, with the names of classes that stand for whatever it gets trained on."""
    pool = tuple(spec.name for spec in POOLS[PUBLISHED[key].pool])
    return DescribedNetwork(
        name=key,
        skeleton=published_skeleton(key),
        architecture=published_architecture(key, pool),
        class_names=tuple(f"class-{i:03d}" for i in range(1000)),
    )
