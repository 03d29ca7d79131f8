"""Tables for people: the front, the rounds, one network."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from evospace.cost.latency_table import latency_text
from evospace.estimation.evaluation import Evaluation


def front_table(front: Sequence[Evaluation], title: str, measured: Sequence[int | None] | None = None) -> Table:
    """The front as a table for a person; `measured`: nanoseconds of each member, where they were measured."""
    table = Table(title=title, title_justify="left")
    timed = any(e.latency is not None for e in front)
    latencies = [*(["latency"] if timed else []), *(["measured"] if measured else [])]
    for column in ("#", "MACs", "params", *latencies, "accuracy", "round", "operations"):
        table.add_column(column, justify="left" if column == "operations" else "right")
    for i, e in enumerate(front):
        used = sum(map(len, e.architecture.blocks))
        times = [*([_time(e.latency)] if timed else []), *([_time(measured[i])] if measured else [])]
        accuracy = f"{100 * e.accuracy:.2f} %"
        table.add_row(str(i), short(e.macs), short(e.params), *times, accuracy, str(e.round), str(used))
    return table


def _time(ns: int | None) -> str:
    return "" if ns is None else latency_text(ns)


def short_cost(metric: str, value: float) -> str:
    """A cost with three digits: a count, or a time."""
    return latency_text(value) if metric == "latency" else short(value)


def short(value: float) -> str:
    """A count with three digits and K, M or G."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.0f}"


ROUNDS_LEGEND = (
    "cost: of an architecture drawn by the fitness alone, on average (what is scored is drawn inside the budget);"
    " hv: the front's hypervolume, hv old: that of the front before under the same weights"
)


def rounds_table(summaries: Sequence[Mapping[str, Any]], metric: str = "macs") -> Table:
    """One row per finished round, at most 80 characters wide.

    `cost` is what an architecture drawn from the fitness costs on average, `hv` the front's hypervolume, `hv old` the
    previous front's under the same weights, empty where cheaper networks
    than the budget's beat all of it. Scores of different rounds come from different weights.
    """
    table = Table(title="Rounds", title_justify="left", box=box.SIMPLE_HEAD, padding=0, collapse_padding=True)
    for column in (
        " round",
        " active",
        " pruned",
        "  cost",
        " front",
        " best %",
        "    hv",
        "hv old",
        "train s",
        "score s",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for s in summaries:
        rehearsed = s["rehearsed_hypervolume"]
        table.add_row(
            *(str(s[key]) for key in ("round", "active", "pruned")),
            short_cost(metric, s["expected_cost"]),
            str(s["front"]),
            f"{100 * s['best']:.2f}",
            f"{s['hypervolume']:.4f}",
            "" if rehearsed is None else f"{rehearsed:.4f}",
            f"{s['train_seconds']:.1f}",
            f"{s['score_seconds']:.1f}",
        )
    return table


def _latencies(network: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(key, network[key]) for key in ("latency_ms", "latency_measured_ms") if key in network]


def network_lines(network: Mapping[str, Any]) -> list[str]:
    """What `evospace show` prints of one network (see `evospace.show.describe_network`)."""
    lines = [
        f"{network['name']}: {network['classes']} classes, {network['image_size']} pixels,"
        f" skeleton {network['skeleton']}",
        f"MACs   {network['macs']:,} (multiply-adds; many papers call these FLOPs)",
        f"FLOPs  {network['flops']:,} (2 x MACs)",
        f"params {network['params']:,}",
        *(f"{key.replace('_ms', ''):<17} {ms:.4g} ms ({network['latency_of']})" for key, ms in _latencies(network)),
    ]
    for i, block in enumerate(network["blocks"], start=1):
        channels = f"{block['in_channels']:>4} -> {block['out_channels']:<4}"
        names = block["operations"]
        terms = [*names, *(["input"] if block["keeps_shape"] else [])]
        operations = f"mean of {', '.join(terms)}" if len(terms) > 1 else "".join(names) or "(identity)"
        lines.append(f"{i:>3}  {channels} stride {block['stride']} at {block['resolution']:>3}  {operations}")
    return lines
