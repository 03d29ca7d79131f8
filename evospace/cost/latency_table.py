"""`table.json`: measured latencies of every operation at every block shape of a skeleton. No torch here.

The latency of a network is predicted as
``constant + scale * sum + per_operation * operations + per_parameter * parameters``: the sum of the fixed parts and of
what each operation adds to its block, and a term fitted on whole networks for what that sum misses (starts, merges,
weights that no longer fit the cache). All of it is additive, so it is a `CostTable` like any other. Times are whole
nanoseconds of one forward pass of the batch.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evospace.cost.latency_setting import Setting
from evospace.cost.table import CostTable
from evospace.errors import DataError, MissingOperationError
from evospace.ops.spec import BlockShape, OpSpec
from evospace.ops.user import require_source
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton

STEP = 100
"""Costs are rounded to this many nanoseconds: finer than any timing, and coarse enough to sample exactly."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One measured time."""

    ns: int
    """Nanoseconds."""
    spread: float
    """How far the passes that it is the median of lie apart, as a fraction."""
    passes: int
    """Times it was measured."""


@dataclass(frozen=True, kw_only=True)
class BlockTimings:
    """A small network around a block of one shape: without the operation in question, and with each."""

    base: Timing
    operations: dict[str, Timing]
    params: dict[str, int]
    """Trainable parameters of each operation."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """``constant + scale * sum + per_operation * operations + per_parameter * parameters``, in nanoseconds."""

    constant: float
    scale: float
    per_operation: float
    per_parameter: float


@dataclass(frozen=True, kw_only=True)
class TimedNetwork:
    """A whole network, measured end to end."""

    architecture: Architecture
    timing: Timing


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Everything that was measured for one skeleton on one machine."""

    setting: Setting
    machine: Mapping[str, str]
    """Processor, system, and the versions that the times belong to."""
    skeleton: Skeleton
    classes: int
    reference_ns: int
    """The fastest time of the skeleton's cheapest network: it tells how fast the machine was."""
    fixed: dict[str, Timing] = field(default_factory=dict)
    """`stem` and `head`."""
    blocks: dict[BlockShape, BlockTimings] = field(default_factory=dict)
    networks: tuple[TimedNetwork, ...] = ()
    """The networks that `fit` was fitted on."""
    fit: Fit | None = None
    verification: dict[str, Any] | None = None
    """What `evospace profile --verify` found; `None` until then."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of the file that defines a kind of the user's own, as it was when it was measured."""

    def operation_ns(self, shape: BlockShape, name: str) -> int:
        """What one more operation adds to a block of this shape; never below 0."""
        timings = self.blocks[shape]
        return max(timings.operations[name].ns - timings.base.ns, 0)

    def sum_ns(self, architecture: Architecture) -> int:
        """Fixed parts and operations, without the fitted term."""
        pairs = zip(self.skeleton.blocks(), architecture.blocks, strict=True)
        return self.fixed_ns + sum(self.operation_ns(shape, name) for shape, names in pairs for name in names)

    def parameters(self, architecture: Architecture) -> int:
        """Trainable parameters of the operations."""
        pairs = zip(self.skeleton.blocks(), architecture.blocks, strict=True)
        return sum(self.blocks[shape].params[name] for shape, names in pairs for name in names)

    @property
    def fixed_ns(self) -> int:
        """Stem and head."""
        return sum(timing.ns for timing in self.fixed.values())

    def cost_table(self, space: SearchSpace) -> CostTable:
        """The costs of a space over the table's own skeleton.

        Raises `DataError`, naming what is missing, where the table is unfinished, lacks an operation, or has measured
        a user's operation that was another one then.
        """
        for kind in {OpSpec.parse(name).kind for names in space.candidates for name in names} & self.sources.keys():
            try:
                require_source(kind, self.sources[kind])
            except (DataError, MissingOperationError) as error:
                text = f"the latency table: {error}; or measure it: `evospace profile`, same --out"
                raise DataError(text) from error
        shapes, missing = self.skeleton.blocks(), list[str]()
        for shape, names in zip(shapes, space.candidates, strict=True):
            known = self.blocks[shape].operations if shape in self.blocks else {}
            missing += [f"{name} at {_words(shape)}" for name in names if name not in known]
        if missing:
            unique = list(dict.fromkeys(missing))
            more = f" and {len(unique) - 1} more" if len(unique) > 1 else ""
            raise DataError(
                f"the latency table lacks {unique[0]}{more}; measure that with `{self._profile(self.skeleton)}`,"
                " that --pool and the table as --out"
            )
        if self.fit is None:
            raise DataError("the latency table is unfinished; run the same `evospace profile` command again to go on")
        fit, blocks = self.fit, self.blocks

        def cost(shape: BlockShape, name: str) -> int:
            weights = fit.per_parameter * blocks[shape].params[name]
            return max(_rounded(fit.scale * self.operation_ns(shape, name) + fit.per_operation + weights), 0)

        return CostTable(
            metric="latency",
            fixed=max(_rounded(fit.constant + fit.scale * self.fixed_ns), 0),
            ops=tuple(
                {name: cost(shape, name) for name in names}
                for shape, names in zip(shapes, space.candidates, strict=True)
            ),
        )

    def predict_ns(self, architecture: Architecture) -> int:
        """Latency of one architecture over the table's skeleton."""
        space = SearchSpace(architecture.blocks, tuple(not s.keeps_shape for s in self.skeleton.blocks()))
        return self.cost_table(space).cost(architecture)

    def require(self, skeleton: Skeleton, classes: int) -> None:
        """Raise `DataError` unless the table was made for networks of this skeleton and number of classes."""
        ours = asdict(self.skeleton) | {"classes": self.classes}
        wanted = asdict(skeleton) | {"classes": classes}
        changed = [key for key in wanted if ours[key] != wanted[key]]
        if changed:
            lines = "; ".join(f"{key}: {_short(ours[key])} -> {_short(wanted[key])}" for key in changed)
            raise DataError(
                f"the latency table was made for other networks ({lines}); make one, with the same --pool, by"
                f" `{replace(self, classes=classes)._profile(skeleton)} --out table.json`"
            )

    def _profile(self, skeleton: Skeleton) -> str:
        """The command that measures under this table's setting, less --pool and --out."""
        setting = " ".join(f"--{name} {value}" for name, value in asdict(self.setting).items())
        return (
            f"evospace profile --skeleton {skeleton.name} --image-size {skeleton.image_size}"
            f" --image-channels {skeleton.image_channels} --classes {self.classes} --activation {skeleton.activation}"
            f" {setting}"
        )

    def with_block(self, shape: BlockShape, timings: BlockTimings) -> "LatencyTable":
        """The table with more operations of one block shape.

        They were timed beside a base of their own; what they add to it is what counts, so the first base stays. Nobody
        has verified them.
        """
        if old := self.blocks.get(shape):
            moved = old.base.ns - timings.base.ns
            added = {name: replace(t, ns=max(t.ns + moved, 0)) for name, t in timings.operations.items()}
            params = {**old.params, **timings.params}
            timings = BlockTimings(base=old.base, operations={**old.operations, **added}, params=params)
        return replace(self, blocks={**self.blocks, shape: timings}, verification=None)

    def without(self, kinds: Collection[str]) -> "LatencyTable":
        """The table as if operations of these kinds had never been measured, nor anything that holds them."""
        gone = {n for block in self.blocks.values() for n in block.operations if OpSpec.parse(n).kind in kinds}
        if not gone:
            return self
        blocks = {
            shape: BlockTimings(
                base=block.base,
                operations={name: t for name, t in block.operations.items() if name not in gone},
                params={name: n for name, n in block.params.items() if name not in gone},
            )
            for shape, block in self.blocks.items()
        }
        table = replace(self, blocks=blocks, verification=None)
        if any(name in gone for network in self.networks for names in network.architecture.blocks for name in names):
            table = replace(table, networks=(), fit=None)
        return table


def _rounded(ns: float) -> int:
    return STEP * round(ns / STEP)


def _words(shape: BlockShape) -> str:
    return f"{shape.in_channels} -> {shape.out_channels} channels, stride {shape.stride}, {shape.resolution} pixels"


def _short(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else "other"


def shapes_of(skeleton: Skeleton) -> tuple[BlockShape, ...]:
    """The distinct block shapes of a skeleton, in order."""
    return tuple(dict.fromkeys(skeleton.blocks()))


def latency_text(ns: float) -> str:
    """A time with three digits: `2.71 ms`."""
    return f"{ns / 10**6:.3g} ms"
