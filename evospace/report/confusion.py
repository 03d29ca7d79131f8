"""Which classes a network takes for which."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from evospace.errors import printable
from evospace.report.figures import save_figure

NAMED = 40
"""With more classes than this their names are left out."""
NUMBERED = 12
"""With more classes than this the shares are left out, and the colours alone tell."""


def confusion_csv(confusion: Tensor, class_names: Sequence[str]) -> str:
    """Counts, classes x classes, as a table: a row for each true class, a column for each predicted one.

    A class name that a spreadsheet would compute (`=...`) gets an apostrophe in front.
    """
    names = [_as_text(name) for name in class_names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
    return text.getvalue()


def _as_text(name: str) -> str:
    number = name.lstrip("+-").replace(".", "", 1).isdecimal()
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) and not number else name


def draw_confusion(path: Path, confusion: Tensor, class_names: Sequence[str]) -> None:
    """Write a picture of counts, classes x classes: rows are true classes, colours the share of a row."""
    counts = confusion.numpy().astype(float)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(4.0, 0.42 * len(class_names) + 2.0), 14.0)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="% of the true class")
    axes.set(xlabel="predicted", ylabel="true", title=f"{100 * np.trace(counts) / counts.sum():.2f} % right")
    if len(class_names) <= NAMED:
        names = [printable(name)[:24] for name in class_names]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    if len(class_names) <= NUMBERED:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                colour = "white" if value > 0.5 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    save_figure(figure, path)
