"""The two pictures of a run, redrawn each round."""

import io
import warnings
from collections.abc import Sequence, Set
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from evospace.cost.budget import Budget
from evospace.estimation.evaluation import Evaluation
from evospace.runs.files import write_bytes
from evospace.strategies.ledger import LedgerRow

PANEL = 80
"""Operations that a picture shows one below the other."""
_STATES = ("not yet traversed", "pruned", "unused", "kept on the front")
_COLOURS = ("#f2f2f2", "#e07b54", "#c9c9c9", "#2f6f9f")
_ABSENT = ("not in the block's part of the pool", "#ffffff")


def draw_fronts(path: Path, fronts: Sequence[Sequence[Evaluation]], budget: Budget) -> None:
    """Accuracy over cost, a colour a round. Scores of different rounds come from different weights."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, max(len(fronts), 2)))
    for number, (front, colour) in enumerate(zip(fronts, colours, strict=False), start=1):
        cost = [e.cost(budget.metric) / 1e6 for e in front]
        axes.plot(cost, [100 * e.accuracy for e in front], "o-", color=colour, label=f"round {number}", markersize=4)
    axes.axvspan(budget.low / 1e6, budget.high / 1e6, color="0.95", zorder=0)
    axes.set(
        xlabel="latency (ms)" if budget.metric == "latency" else f"{budget.metric} (millions)",
        ylabel="accuracy under the round's weights (%)",
        title="Pareto fronts",
    )
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def draw_space(
    path: Path, ledger: Sequence[LedgerRow], pool: Sequence[str], held: Set[tuple[int, str]], blocks: int
) -> None:
    """Per block (column) and operation (row): the round that traversed it, and what became of it since.

    `held`: (block, operation) of what the space holds; `--operations` leaves out some of the `pool`. A large pool is
    drawn in panels side by side, `PANEL` operations each.
    """
    anywhere = {name for _, name in held}
    operations = [name for name in pool if name in anywhere]
    state, label = _states(ledger, operations, held, blocks)
    panels = -(-len(operations) // PANEL)
    rows = -(-len(operations) // panels)
    size = (panels * (2.8 + 0.34 * blocks), 1.6 + 0.19 * rows)
    figure = Figure(figsize=size, layout="constrained")
    for panel, axes in enumerate(figure.subplots(1, panels, squeeze=False)[0]):
        part = slice(panel * rows, min((panel + 1) * rows, len(operations)))
        axes.imshow(state[part], cmap=ListedColormap((*_COLOURS, _ABSENT[1])), vmin=0, vmax=4, aspect="auto")
        for y, x in np.argwhere(label[part] > 0):
            dark = state[part][y, x] in (1, 3)
            text = str(label[part][y, x])
            axes.text(x, y, text, ha="center", va="center", fontsize=6, color="w" if dark else "k")
        axes.set_yticks(range(part.stop - part.start), operations[part], fontsize=7)
        axes.set_xticks(range(blocks), [str(b + 1) for b in range(blocks)], fontsize=7)
        axes.set(xlabel="block")
    figure.suptitle("The space (number: round of first traversal)")
    shown = [*zip(_STATES, _COLOURS, strict=True), *([_ABSENT] if (state == 4).any() else [])]
    handles = [Patch(facecolor=colour, edgecolor="0.7", label=text) for text, colour in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    save_figure(figure, path)


def _states(
    ledger: Sequence[LedgerRow], operations: Sequence[str], held: Set[tuple[int, str]], blocks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per operation and block: an index of `_STATES`, or 4, and the round of the first traversal (0: none)."""
    absent = [[(block, name) not in held for block in range(blocks)] for name in operations]
    state = np.where(absent, 4, 0)
    label = np.zeros_like(state)
    position = {name: i for i, name in enumerate(operations)}
    codes = {"pruned": 1, "unused": 2, "kept": 3}
    for row in ledger:
        if row.outcome in codes:
            place = position[row.operation], row.block
            state[place] = codes[row.outcome]
            label[place] = label[place] or row.round
    return state, label


def save_figure(figure: Figure, path: Path) -> None:
    """Replace `path` by the figure as PNG."""
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # class names of any script
        figure.savefig(drawn, dpi=130, format="png")
    write_bytes(path, drawn.getvalue())
