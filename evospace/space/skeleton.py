"""What every network of a search shares: stem, chain of choice blocks, head. No torch here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from evospace.errors import DataError, UsageError, unknown_name
from evospace.ops.spec import BlockShape

MAX_BLOCKS = 1000
LARGEST_IMAGE = 1024
"""Pixels of a side that skeletons are meant for."""
MOST_CHANNELS = 64
"""Of an image; what a stored description may ask for, so that one image fits in memory."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of one width: how the stage is entered, then `repeat` shape-keeping blocks."""

    channels: int
    entry: str
    """`start` (no entry block), `reduce` (stride 2, new channels) or `expand` (stride 1, new channels)."""
    repeat: int


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A stem, stages of choice blocks and a head, for images of one size."""

    name: str
    image_size: int
    image_channels: int
    stem_channels: int
    stem_stride: int
    stages: tuple[Stage, ...]
    head_channels: int
    activation: str = "relu"

    def blocks(self) -> tuple[BlockShape, ...]:
        """The choice blocks in order."""
        shapes: list[BlockShape] = []
        channels, size = self.stem_channels, self.stem_resolution
        for stage in self.stages:
            entry = [] if stage.entry == "start" else [2 if stage.entry == "reduce" else 1]
            for stride in [*entry, *[1] * stage.repeat]:
                shape = BlockShape(
                    in_channels=channels,
                    out_channels=stage.channels,
                    stride=stride,
                    resolution=size,
                    activation=self.activation,
                )
                shapes.append(shape)
                channels, size = stage.channels, shape.out_resolution
        return tuple(shapes)

    @property
    def stem_resolution(self) -> int:
        """Height and width after the stem, in pixels."""
        return -(-self.image_size // self.stem_stride)

    @property
    def final_resolution(self) -> int:
        """Height and width at the head, in pixels."""
        return self.blocks()[-1].out_resolution

    @property
    def final_channels(self) -> int:
        """Channels that enter the head."""
        return self.stages[-1].channels

    def scaled(self, width: float) -> "Skeleton":
        """Every width but the first scaled by `width` and rounded to a multiple of 8, never below 90 %."""
        first, *rest = self.stages
        stages = [first, *(replace(s, channels=round_channels(s.channels * width)) for s in rest)]
        return replace(self, stages=tuple(stages))

    def with_repeats(self, repeats: Sequence[int]) -> "Skeleton":
        """The same skeleton with other numbers of shape-keeping blocks, one per stage."""
        pairs = zip(self.stages, repeats, strict=True)
        return replace(self, stages=tuple(replace(stage, repeat=n) for stage, n in pairs))

    def to_json(self) -> dict[str, Any]:
        """A full description in plain JSON values."""
        return asdict(self) | {"stages": [asdict(stage) for stage in self.stages]}

    @classmethod
    def from_json(cls, data: Any) -> "Skeleton":
        """The inverse of `to_json`; raises `DataError` for another form."""
        try:
            stages = tuple(Stage(**stage) for stage in data["stages"])
            skeleton = cls(**(data | {"stages": stages}))
            skeleton._check()
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"not a skeleton's description: {error}") from error
        return skeleton

    def _check(self) -> None:
        """Raise `ValueError` where a stored description makes no sense; nothing is laid out before."""
        if not all(type(n) is int and 1 <= n <= 65536 for n in self._sizes()):
            raise ValueError("sizes are whole numbers from 1 to 65536")
        if self.image_size > LARGEST_IMAGE or self.image_channels > MOST_CHANNELS:
            raise ValueError(f"images have at most {LARGEST_IMAGE} pixels a side and {MOST_CHANNELS} channels")
        if sum(stage.repeat + (stage.entry != "start") for stage in self.stages) > MAX_BLOCKS:
            raise ValueError(f"a skeleton has at most {MAX_BLOCKS} blocks")
        if not self.blocks() or {stage.entry for stage in self.stages} - {"start", "reduce", "expand"}:
            raise ValueError("a skeleton has blocks, in stages entered by start, reduce or expand")
        if not isinstance(self.name, str) or self.activation not in ("relu", "swish"):
            raise ValueError("a skeleton has a name, and relu or swish for its activation")

    def _sizes(self) -> list[int]:
        own = [self.image_size, self.image_channels, self.stem_channels, self.stem_stride, self.head_channels]
        return own + [stage.channels for stage in self.stages] + [stage.repeat + 1 for stage in self.stages]


def round_channels(channels: float, multiple: int = 8) -> int:
    """`channels` to the nearest multiple, one more where that would lose over 10 % (MobileNet's rule)."""
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * channels else rounded


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    text = files("evospace.space").joinpath("skeletons.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return loaded


def make_skeleton(name: str | None, *, image_size: int, image_channels: int, activation: str = "relu") -> Skeleton:
    """The skeleton called `name`, or the one for `image_size` where `name` is `None`.

    Raises `UsageError` for an unknown name or a size that no skeleton is meant for.
    """
    if not 4 <= image_size <= LARGEST_IMAGE:
        text = f"skeletons are meant for 4 to {LARGEST_IMAGE} pixels; set --image-size"
        raise UsageError(f"image size {image_size}: {text}")
    chosen = name or _for_size(image_size)
    if chosen not in _shipped():
        raise unknown_name("skeleton", chosen, _shipped())
    data = _shipped()[chosen]
    return Skeleton(
        name=chosen,
        image_size=image_size,
        image_channels=image_channels,
        stem_channels=data["stem"][0],
        stem_stride=data["stem"][1],
        stages=tuple(Stage(channels=c, entry=e, repeat=r) for c, e, r in data["stages"]),
        head_channels=data["head"],
        activation=activation,
    )


def _for_size(image_size: int) -> str:
    ranges = {name: data["image_size"] for name, data in _shipped().items()}
    return next(name for name, r in ranges.items() if r and r[0] <= image_size <= r[1])
