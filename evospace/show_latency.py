"""What `evospace show` says of a network's latency: predicted from a table, measured here, or both."""

from pathlib import Path
from typing import Any

from evospace.cost.latency_file import read_latency_table
from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import LatencyTable
from evospace.networks import find_network
from evospace.profiling.measure import doubts, measure
from evospace.profiling.profile import UNKNOWN
from evospace.profiling.runtimes import machine, require_runtime


def latencies(name: str, *, se: bool, table: str, measured: bool, setting: Setting) -> tuple[dict[str, Any], list[str]]:
    """`latency_ms` (from a table), `latency_measured_ms` and the setting that they belong to; and warnings.

    A network is measured under the table's setting, or under `setting` where there is none. Raises `DataError` where
    the table is for other networks or lacks an operation, and `UsageError` where it cannot be measured here.
    """
    described = find_network(name, se=se).described
    skeleton, architecture, classes = described.skeleton, described.architecture, described.classes
    found, warnings = dict[str, Any](), list[str]()
    if table:
        made = read_latency_table(Path(table))
        made.require(skeleton, classes)
        found["latency_ms"] = made.predict_ns(architecture) / 10**6
        warnings = doubts(made, table)
    else:
        require_runtime(setting)
        made = LatencyTable(
            setting=setting, machine=machine(setting), skeleton=skeleton, classes=classes, reference_ns=UNKNOWN
        )
    if measured:
        found["latency_measured_ms"] = measure(made, [architecture], warnings.append)[0] / 10**6
    return found | {"latency_of": str(made.setting)}, warnings
