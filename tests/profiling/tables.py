"""Latency tables that were never measured: every time follows from a simple rule."""

from collections.abc import Iterable
from dataclasses import replace

from evospace.cost.count import count_op
from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import BlockTimings, Fit, LatencyTable, Timing, shapes_of
from evospace.ops.spec import OpSpec
from evospace.profiling.runtimes import machine
from evospace.space.skeleton import Skeleton, Stage, make_skeleton

TINY = Skeleton(
    name="tiny",
    image_size=8,
    image_channels=1,
    stem_channels=8,
    stem_stride=1,
    stages=(Stage(channels=8, entry="start", repeat=1), Stage(channels=16, entry="reduce", repeat=1)),
    head_channels=16,
)
OPS = ("mbconv_k3_e1", "mbconv_k5_e1", "mbconv_k3_e3")


def timing(ns: int) -> Timing:
    """A perfectly steady time."""
    return Timing(ns=ns, spread=0.0, passes=3)


def made_table(skeleton: Skeleton, names: Iterable[str], classes: int = 10) -> LatencyTable:
    """An operation takes a microsecond and a nanosecond for every MAC; the fitted term adds to that."""
    table = LatencyTable(
        setting=Setting(),
        machine=machine(Setting()),
        skeleton=skeleton,
        classes=classes,
        reference_ns=50_000,
        fixed={"stem": timing(20_000), "head": timing(30_000)},
        fit=Fit(constant=10_000, scale=1.1, per_operation=500, per_parameter=0.5),
    )
    for shape in shapes_of(skeleton):
        counts = {name: count_op(OpSpec.parse(name), shape) for name in names}
        times = {name: timing(6_000 + count["macs"]) for name, count in counts.items()}
        params = {name: count["params"] for name, count in counts.items()}
        table = table.with_block(shape, BlockTimings(base=timing(5_000), operations=times, params=params))
    return table


def digits_table(names: Iterable[str]) -> LatencyTable:
    """For searches on digits."""
    return made_table(make_skeleton(None, image_size=8, image_channels=1), names)


def verified(table: LatencyTable) -> LatencyTable:
    """The same, as if it had been verified."""
    found = {"mape": 0.02, "worst": 0.05, "tau": 0.95, "tau_band": 0.8, "repeat_error": 0.01}
    return replace(table, verification=found)
