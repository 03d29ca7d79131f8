"""Whole networks measured here, under a latency table's setting; and what is doubtful about a table."""

from collections.abc import Callable, Sequence

from evospace.cost.latency_table import LatencyTable
from evospace.errors import UsageError
from evospace.profiling.profile import Say, reference_watch, time_networks
from evospace.profiling.runtimes import differences, require_runtime, threads_of
from evospace.space.architecture import Architecture


def doubts(table: LatencyTable, where: str, device: str | None = None) -> list[str]:
    """Warnings: not verified, or of another machine or device than this one."""
    found = []
    if table.verification is None:
        found.append(
            f"{where} is not verified: whether it predicts whole networks is unknown; run"
            f" evospace profile --verify {where}"
        )
    if changed := differences(dict(table.machine)):
        found.append(f"{where} was measured elsewhere ({'; '.join(changed)}); this machine may take another time")
    if device and device != table.setting.device:
        found.append(f"{where} holds latencies on {table.setting.device}, while this search runs on {device}")
    return found


def require_same_machine(table: LatencyTable) -> None:
    """Raise `UsageError`, listing what differs, where the table's times do not belong to this machine."""
    require_runtime(table.setting)
    if changed := differences(dict(table.machine)):
        raise UsageError(
            f"the latency table was measured elsewhere ({'; '.join(changed)}); measure there, or profile this machine"
        )


def measure(
    table: LatencyTable,
    architectures: Sequence[Architecture],
    say: Say,
    on_pass: Callable[[int, int], None] = lambda a, b: None,
) -> list[int]:
    """Nanoseconds of each network, end to end, in turn; `say` hears where the machine is slower than it was.

    Raises `UsageError` where this is not the table's machine.
    """
    require_same_machine(table)
    with threads_of(table.setting):
        timed = time_networks(table, architectures, reference_watch(table, say), on_pass)
    return [network.timing.ns for network in timed]
