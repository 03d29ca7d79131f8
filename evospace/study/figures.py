"""The pictures of studies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evospace.report.figures import save_figure
from evospace.study.paired import CONFIDENCE, Difference, Effect
from evospace.study.plan import COMPARED, FURTHER
from evospace.study.report import Summary

FIRST = "#000000"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#ee7733", "#332288", "#999933")
"""Paul Tol's "bright" scheme, then of his others: told apart with any colour vision, together with the markers."""
MARKERS = "osD^vP<X>*"
"""As many as colours; from the second turn on each colour has the next marker, so that no two methods look alike."""
PLACES = {name: place for place, name in enumerate(name for name in [*COMPARED, *FURTHER] if name != "nse")}
"""A method looks the same in every picture, whatever is compared beside it; nse is black."""
DODGE = 0.4
"""Width, in units of the distance of two sizes, over which the methods' intervals lie side by side."""


def draw_space_size(path: Path, rows: Sequence[Summary]) -> None:
    """Means over operations per block, a line per method with its standard deviation; a column per length.

    Above: accuracy as tested, after retraining. Below: the same networks' score under the search's shared weights.
    """
    lengths = sorted({row.length for row in rows})
    sizes = sorted({row.operations for row in rows})
    methods = list(dict.fromkeys(row.method for row in sorted(rows, key=lambda row: row.method != "nse")))
    figure = Figure(figsize=(2.2 + (1.2 + 0.8 * len(sizes)) * len(lengths), 7.4), layout="constrained")
    tested, scored = figure.subplots(2, len(lengths), sharex=True, sharey="row", squeeze=False)
    for above, below, length in zip(tested, scored, lengths, strict=True):
        for place, method in enumerate(methods):
            of = [r for r in rows if (r.length, r.method) == (length, method)]
            look = _look(method)
            shift = DODGE * ((place + 0.5) / len(methods) - 0.5)
            _line(above, [(sizes.index(r.operations) + shift, r.accuracy, r.spread) for r in of], look)
            by_supernet = [r for r in of if r.images]
            _line(below, [(sizes.index(r.operations) + shift, r.score, r.score_spread) for r in by_supernet], look)
        above.set_title(f"training x{length}")
        below.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        below.set(xlabel="operations per block", xlim=(-0.5, len(sizes) - 0.5))
        for axes in (above, below):
            axes.grid(alpha=0.3)
    tested[0].set_ylabel("tested top-1 after retraining (%)")
    scored[0].set_ylabel("score under shared weights (%)")
    figure.supxlabel(f"mean and standard deviation of {_seeds(rows)}", fontsize=9)
    handles = {line.get_label(): line for axes in tested for line in axes.get_legend_handles_labels()[0]}
    shown = [method for method in methods if method in handles]
    counts = {m: _seeds([r for r in rows if r.method == m]) for m in shown}
    labels = [m if len(set(counts.values())) == 1 else f"{m} ({counts[m]})" for m in shown]
    figure.legend([handles[m] for m in shown], labels, loc="outside right center", frameon=False, fontsize=9)
    save_figure(figure, path)


def _look(method: str) -> Mapping[str, Any]:
    main = method == "nse"
    place = 0 if main else PLACES[method]
    return {
        "label": method,
        "color": FIRST if main else COLOURS[place % len(COLOURS)],
        "marker": MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
        "linewidth": 2.2 if main else 1.3,
        "markersize": 6 if main else 5,
        "zorder": 3 if main else 2,
    }


def _line(axes: Axes, points: Sequence[tuple[float, float | None, float | None]], look: Mapping[str, Any]) -> None:
    """Of places, means and spreads."""
    known = [(at, mean, spread or 0.0) for at, mean, spread in points if mean is not None]
    if known:
        at, means, spreads = zip(*sorted(known), strict=True)
        axes.errorbar(at, means, yerr=spreads, elinewidth=1.0, capsize=2.5, **look)


def draw_effects(path: Path, found: Sequence[Effect]) -> None:
    """What a larger space does, and nse's leads: each seed, the mean and its interval; a row per method.

    Side by side in a row: each length of training, then all together.
    """
    lengths = list(dict.fromkeys(effect.length for effect in found))
    methods = list(dict.fromkeys(effect.method for effect in sorted(found, key=lambda effect: effect.method != "nse")))
    ahead = "\u2190 nse behind      nse ahead \u2192"
    panels: dict[tuple[str, str], dict[tuple[str, int | None], Difference | None]] = {
        ("largest space less smallest", "\u2190 hurt      helped \u2192"): {
            (e.method, e.length): e.growth for e in found
        },
        ("nse less the method, mean over sizes", ahead): {(e.method, e.length): e.behind for e in found},
        ("nse less the method, largest space", ahead): {(e.method, e.length): e.behind_in_largest for e in found},
    }
    figure = Figure(figsize=(10.0, 2.0 + len(methods) * (0.2 + 0.14 * len(lengths))), layout="constrained")
    subplots = figure.subplots(1, len(panels), sharey=True)
    for axes, ((title, sides), differences) in zip(subplots, panels.items(), strict=True):
        axes.axvline(0.0, color="0.4", linewidth=1.0)
        for place, length in enumerate(lengths):
            _intervals(
                axes, [differences.get((m, length)) for m in methods], length, (place + 0.5) / len(lengths) - 0.5
            )
        axes.set_yticks(range(len(methods)), methods)
        axes.set_yticks(np.arange(len(methods) - 1) + 0.5, minor=True)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(sides, fontsize=9)
        axes.grid(alpha=0.3, axis="x")
        axes.grid(alpha=0.3, axis="y", which="minor")
        axes.tick_params(axis="y", which="both", length=0)
    handles, labels = axes.get_legend_handles_labels()
    if len(lengths) > 1:
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    text = f"tested top-1 (points), paired by seed: each seed, the mean and its {100 * CONFIDENCE:.0f} % interval"
    figure.supxlabel(text, fontsize=9)
    save_figure(figure, path)


def _intervals(axes: Axes, of_methods: Sequence[Difference | None], length: int | None, shift: float) -> None:
    """One length of training: a mark and its interval for every method that has one."""
    at = [(place + 0.8 * shift, d) for place, d in enumerate(of_methods) if d]
    colour = FIRST if length is None else COLOURS[(length - 1) % len(COLOURS)]
    for y, d in at:
        axes.plot(d.values, np.full(len(d.values), y), "o", color=colour, alpha=0.25, markersize=2.5, zorder=2)
    axes.errorbar(
        [d.mean for _, d in at],
        [y for y, _ in at],
        xerr=[d.half_width or 0.0 for _, d in at],
        fmt="D",
        label="all lengths" if length is None else f"training x{length}",
        color=colour,
        markersize=4,
        linewidth=2.0 if length is None else 1.2,
        capsize=2.5,
        zorder=3,
    )


def draw_ablation(path: Path, rows: Sequence[Summary]) -> None:
    """Difference of the tested accuracy to the base: each seed, the mean and its interval; a panel per length."""
    lengths = sorted({row.length for row in rows})
    methods = list(dict.fromkeys(row.method for row in rows if row.difference))
    figure = Figure(figsize=(2.6 + 3.6 * len(lengths), 1.6 + 0.34 * max(len(methods), 3)), layout="constrained")
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for axes, length in zip(panels, lengths, strict=True):
        axes.axvline(0.0, color="0.4", linewidth=1.0)
        for row in (r for r in rows if r.length == length and r.difference):
            d, y = row.difference, methods.index(row.method)
            assert d is not None
            axes.plot(d.values, np.full(len(d.values), y), "o", color="0.65", markersize=3.5, zorder=2)
            axes.errorbar(d.mean, y, xerr=d.half_width or 0.0, fmt="D", color=COLOURS[0], capsize=3, zorder=3)
        axes.set_yticks(range(len(methods)), methods)
        axes.set(title=f"training x{length}", ylim=(max(len(methods), 1) - 0.5, -0.5))
        axes.grid(alpha=0.3, axis="x")
    text = f"tested top-1 less the base's (points), of {_seeds(rows)}; mean and {100 * CONFIDENCE:.0f} % interval"
    figure.supxlabel(text, fontsize=9)
    save_figure(figure, path)


def draw_ranking(path: Path, scores: Sequence[float], tested: Sequence[float], caption: str) -> None:
    """Tested accuracy of retrained networks over their score in the search (both fractions)."""
    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(100 * np.asarray(scores), 100 * np.asarray(tested), "o", color=COLOURS[0], markersize=5)
    axes.set(xlabel="score in the search (%)", ylabel="tested top-1 after retraining (%)")
    axes.set_title(caption, fontsize=9)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def _seeds(rows: Sequence[Summary]) -> str:
    counts = sorted({row.seeds for row in rows if row.seeds})
    if not counts:
        return "0 seeds"
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{many} seed{'s' if counts[-1] > 1 else ''}"
