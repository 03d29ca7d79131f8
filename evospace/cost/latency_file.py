"""Reads and writes `table.json`; in one that is read nothing is trusted. No torch here."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import BlockTimings, Fit, LatencyTable, TimedNetwork, Timing, shapes_of
from evospace.errors import DataError, UsageError, reason
from evospace.ops.spec import BlockShape, OpSpec
from evospace.reading import read_json
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton

FORMAT = 1
LARGEST = 1 << 27
"""No table is larger than this many bytes."""


def read_latency_table(path: Path) -> LatencyTable:
    """Read a table; raises `DataError` for a missing, damaged or foreign file. No name in it is used as a path."""
    try:
        data = read_json(path, LARGEST)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a latency table ({reason(error)}); {_HINT}") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or data["format"] != FORMAT:
        raise DataError(f"{path}: not a latency table of format {FORMAT}; {_HINT}")
    try:
        return _table(data)
    except (DataError, UsageError, TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: damaged latency table ({type(error).__name__}: {error!s:.200}); {_HINT}") from error


_HINT = "give one that `evospace profile` wrote"


def _table(data: dict[str, Any]) -> LatencyTable:
    setting = dict(data["setting"])
    if setting.pop("dtype") != "float32":
        raise ValueError("dtype is float32")
    machine, verification = data["machine"], data["verification"]
    if not all(isinstance(text, str) for text in machine.values()):
        raise TypeError("machine holds texts")
    sources = data.get("sources", {})
    if not all(isinstance(text, str) for text in sources.values()):
        raise TypeError("sources holds texts")
    if not isinstance(verification, dict | None):
        raise TypeError("a verification is an object or null")
    table = LatencyTable(
        setting=Setting(**setting),
        machine=machine,
        skeleton=Skeleton.from_json(data["skeleton"]),
        classes=_whole(data["classes"], 1),
        reference_ns=_whole(data["reference_ns"], 1),
        fixed={str(name): _timing(timing) for name, timing in data["fixed"].items()},
        blocks={BlockShape(**b["shape"]): _block(b) for b in data["blocks"]},
        networks=tuple(
            TimedNetwork(
                architecture=Architecture.from_json(n["architecture"]),
                timing=_timing({key: n[key] for key in ("ns", "spread", "passes")}),
            )
            for n in data["networks"]
        ),
        fit=None if data["fit"] is None else Fit(**{key: _number(value) for key, value in data["fit"].items()}),
        verification=verification,
        sources=sources,
    )
    _require_whole(table)
    return table


def _require_whole(table: LatencyTable) -> None:
    """Raise `ValueError` for block shapes that are not the skeleton's, and for a finished table with gaps."""
    shapes = set(shapes_of(table.skeleton))
    if not table.blocks.keys() <= shapes or not table.fixed.keys() <= {"stem", "head"}:
        raise ValueError("holds times of parts that its skeleton does not have")
    if table.fit and (table.blocks.keys() != shapes or len(table.fixed) != 2):
        raise ValueError("lacks times of parts of its skeleton")


def _block(data: dict[str, Any]) -> BlockTimings:
    for name in data["operations"]:
        OpSpec.parse(name)
    if data["params"].keys() != data["operations"].keys():
        raise ValueError("every operation has its parameters counted")
    return BlockTimings(
        base=_timing(data["base"]),
        operations={name: _timing(t) for name, t in data["operations"].items()},
        params={name: _whole(n, 0) for name, n in data["params"].items()},
    )


def _timing(data: dict[str, Any]) -> Timing:
    return Timing(ns=_whole(data["ns"], 0), spread=_number(data["spread"]), passes=_whole(data["passes"], 1))


def _whole(value: Any, low: int) -> int:
    if type(value) is not int or not low <= value < 2**53:
        raise ValueError("times and counts are whole numbers that make sense")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e15:
        raise ValueError("not a number that makes sense")
    return float(value)


def table_to_json(table: LatencyTable) -> dict[str, Any]:
    """The content of `table.json` (format 1)."""
    return {
        "format": FORMAT,
        "setting": asdict(table.setting) | {"dtype": "float32"},
        "machine": dict(table.machine),
        "skeleton": table.skeleton.to_json(),
        "classes": table.classes,
        "reference_ns": table.reference_ns,
        "fixed": {name: asdict(timing) for name, timing in table.fixed.items()},
        "blocks": [
            {
                "shape": asdict(shape),
                "base": asdict(timings.base),
                "operations": {name: asdict(timing) for name, timing in timings.operations.items()},
                "params": timings.params,
            }
            for shape, timings in table.blocks.items()
        ],
        "networks": [network_to_json(n) for n in table.networks],
        "fit": asdict(table.fit) if table.fit else None,
        "verification": table.verification,
        "sources": dict(table.sources),
    }


def network_to_json(network: TimedNetwork) -> dict[str, Any]:
    """An architecture and its time."""
    return {"architecture": network.architecture.to_json(), **asdict(network.timing)}
