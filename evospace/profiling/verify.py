"""Does a latency table predict networks it has not seen? Measured end to end, under the table's own setting."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from evospace.cost.latency_file import network_to_json, read_latency_table, table_to_json
from evospace.cost.latency_table import LatencyTable, TimedNetwork
from evospace.errors import UsageError
from evospace.profiling.fit import Floats, mean_error, rank_correlation, worst_error
from evospace.profiling.measure import require_same_machine
from evospace.profiling.networks import BAND, band_networks, spread_networks
from evospace.profiling.profile import Say, alone_at, partial_say, reference_watch, time_networks
from evospace.profiling.runtimes import threads_of
from evospace.profiling.timing import Watch
from evospace.report.figures import save_figure
from evospace.runs.files import write_json
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace


def verify(path: Path, *, networks: int, seed: int, say: Say, live: Say) -> LatencyTable:
    """Measure `networks` unseen networks, half of them near one latency; store the errors in the table, and a picture.

    Every network is measured twice, in two series: their mean counts, how far they lie apart is the error of measuring.
    Raises `UsageError` where this is not the table's machine, or another process measures into the table.
    """
    require_same_machine(read_latency_table(path))
    with alone_at(path):  # read again: another process may just have measured more
        return _verified(path, read_latency_table(path), networks, seed, say, live)


def _verified(path: Path, table: LatencyTable, networks: int, seed: int, say: Say, live: Say) -> LatencyTable:
    space = _space_of(table)
    with threads_of(table.setting):
        watch = reference_watch(table, say)
        chosen, middle = _unseen(table, space, networks, seed)
        near = sum(abs(table.predict_ns(a) / middle - 1) <= BAND for a in chosen)
        say(f"{len(chosen)} unseen networks, {near} of them within {100 * BAND:.0f} % of {middle / 1e6:.3g} ms")
        first, again = (_series(table, chosen, watch, live, number) for number in (1, 2))
    verification = _compare(table, first, again, middle) | {"date": time.strftime("%Y-%m-%d")}
    table = replace(table, verification=verification)
    write_json(path, table_to_json(table))
    draw_verification(path.with_suffix(".png"), table)
    return table


def _space_of(table: LatencyTable) -> SearchSpace:
    blocks = table.skeleton.blocks()
    table.cost_table(SearchSpace(tuple(() for _ in blocks), (False,) * len(blocks)))  # raises where unfinished
    names = [tuple(table.blocks[shape].operations) if shape in table.blocks else () for shape in blocks]
    return SearchSpace(tuple(names), tuple(not shape.keeps_shape for shape in blocks))


def _unseen(table: LatencyTable, space: SearchSpace, n: int, seed: int) -> tuple[list[Architecture], int]:
    """Half of every size, half around the median of those; none that the term was fitted on."""
    rng, seen = numpy_generator(seed, "profile-verify"), {network.architecture for network in table.networks}
    half = n - n // 2
    spread = [a for a in spread_networks(space, half + len(seen), rng) if a not in seen][:half]
    if not spread:
        raise UsageError("the term was fitted on every network of this space, none is left to verify on; profile more")
    middle = sorted(map(table.predict_ns, spread))[len(spread) // 2]
    seen |= set(spread)
    near = [a for a in band_networks(space, table, middle, n // 2, rng) if a not in seen]
    return [*spread, *near], middle


def _series(
    table: LatencyTable, networks: Sequence[Architecture], watch: Watch, live: Say, number: int
) -> list[TimedNetwork]:
    return time_networks(table, networks, watch, partial_say(live, f"series {number} of 2"))


def _compare(
    table: LatencyTable, first: Sequence[TimedNetwork], again: Sequence[TimedNetwork], middle: int
) -> dict[str, Any]:
    """Errors of the predictions as fractions, Kendall's tau, and the error of measuring itself."""
    predicted = np.array([float(table.predict_ns(n.architecture)) for n in first])
    one, other = (np.array([float(n.timing.ns) for n in series]) for series in (first, again))
    measured = (one + other) / 2
    near = np.abs(predicted / middle - 1) <= BAND
    return {
        "mape": mean_error(predicted, measured),
        "worst": worst_error(predicted, measured),
        "tau": rank_correlation(predicted, measured),
        "tau_band": rank_correlation(predicted[near], measured[near]),
        "repeat_error": mean_error(other, one),
        "repeat_tau": rank_correlation(other, one),
        "repeat_tau_band": rank_correlation(other[near], one[near]),
        "band_ns": [round((1 - BAND) * middle), round((1 + BAND) * middle)],
        "networks": [
            network_to_json(n) | {"predicted_ns": round(p), "measured_ns": round(m), "repeated_ns": r.timing.ns}
            for n, p, m, r in zip(first, predicted.tolist(), measured.tolist(), again, strict=True)
        ],
    }


def verification_lines(table: LatencyTable) -> list[str]:
    """What a person is told of a verification."""
    v = table.verification
    if v is None:
        return ["not verified; run: evospace profile --verify TABLE"]
    near = sum(v["band_ns"][0] <= n["predicted_ns"] <= v["band_ns"][1] for n in v["networks"])
    return [
        f"{len(v['networks'])} unseen networks, {near} of them predicted within {v['band_ns'][0] / 1e6:.3g} to"
        f" {v['band_ns'][1] / 1e6:.3g} ms ({table.setting})",
        f"mean error (MAPE)   {100 * v['mape']:.2f} %   worst {100 * v['worst']:.1f} %",
        f"Kendall's tau       {v['tau']:.3f}    within the band {v['tau_band']:.3f}",
        f"measured again      {100 * v['repeat_error']:.2f} % mean difference,"
        f" tau {v['repeat_tau']:.3f}, within the band {v['repeat_tau_band']:.3f}",
    ]


def draw_verification(path: Path, table: LatencyTable) -> None:
    """Measured over predicted latency, with the band."""
    v = table.verification
    assert v is not None
    predicted, measured = (_milliseconds(v, key) for key in ("predicted_ns", "measured_ns"))
    low, high = (edge / 1e6 for edge in v["band_ns"])
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    whole, zoom = figure.subplots(1, 2)
    for axes in (whole, zoom):
        axes.axvspan(low, high, color="0.93", zorder=0)
        axes.scatter(predicted, measured, s=16, color="#2f6f9f", zorder=2)
        axes.axline((high, high), slope=1, color="0.5", linewidth=1, zorder=1)
        axes.set(xlabel="predicted latency (ms)", ylabel="measured latency (ms)")
        axes.grid(alpha=0.3)
    whole.set_title(f"MAPE {100 * v['mape']:.1f} %, tau {v['tau']:.2f}")
    near = measured[(predicted >= low) & (predicted <= high)]
    zoom.set(xlim=(0.98 * low, 1.02 * high), title=f"the band: tau {v['tau_band']:.2f}")
    zoom.set_ylim(0.98 * near.min(initial=low), 1.02 * near.max(initial=high))
    figure.suptitle(f"{len(predicted)} unseen networks, {table.setting}, skeleton {table.skeleton.name}", fontsize=10)
    save_figure(figure, path)


def _milliseconds(verification: dict[str, Any], key: str) -> Floats:
    return np.array([network[key] / 1e6 for network in verification["networks"]])
