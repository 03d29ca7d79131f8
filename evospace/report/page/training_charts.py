"""The charts of fitness and training."""

from collections.abc import Sequence

from evospace.report.page.gather import RunFacts
from evospace.report.page.parts import Chart, label, layout_of
from evospace.strategies.ledger import LedgerRow


def fitness(facts: RunFacts) -> Chart:
    """Every fitness of the ledger; one line per operation and block that stayed for several rounds."""
    rows = [row for row in facts.ledger if row.outcome in ("kept", "unused", "pruned")]
    marks = (("kept", "circle"), ("unused", "circle-open"), ("pruned", "x"))
    traces = [_lines(rows), *(_dots([r for r in rows if r.outcome == o], o, symbol) for o, symbol in marks)]
    layout = layout_of("round", "fitness (a logit, from its start)")
    layout["xaxis"] |= {"tick0": 1, "dtick": max(1, len(facts.states) // 10)}
    threshold = facts.config.get("prune_threshold")
    if isinstance(threshold, int | float):
        line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold}
        layout["shapes"] = [line | {"line": {"color": "--pruned", "width": 1, "dash": "dash"}}]
    return {"data": [t for t in traces if t["x"]], "layout": layout}


def _dots(rows: Sequence[LedgerRow], outcome: str, symbol: str) -> Chart:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": {"kept": "on the front", "unused": "unused", "pruned": "pruned"}[outcome],
        "x": [row.round + _aside(row.block) for row in rows],
        "y": [row.fitness for row in rows],
        "customdata": [f"block {row.block + 1}: {label(row.operation)}" for row in rows],
        "hovertemplate": "%{customdata}<br>fitness %{y:.3f}<extra></extra>",
        "marker": {"color": f"--{outcome}", "size": 7, "symbol": symbol},
    }


def _lines(rows: Sequence[LedgerRow]) -> Chart:
    """The way of each operation from round to round; a gap parts one from the next."""
    ways: dict[tuple[int, str], list[LedgerRow]] = {}
    for row in rows:
        ways.setdefault((row.block, row.operation), []).append(row)
    kept = [way for way in ways.values() if len(way) > 1]
    x: list[float | None] = [v for way in kept for v in (*(r.round + _aside(r.block) for r in way), None)]
    y: list[float | None] = [v for way in kept for v in (*(r.fitness for r in way), None)]
    line = {"color": "--line", "width": 1}
    return {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip", "x": x, "y": y, "line": line}


def _aside(block: int) -> float:
    """Blocks stand a little beside each other in a round, so that their dots do."""
    return (block % 8 - 3.5) * 0.05


def curve(facts: RunFacts, name: str, title: str) -> Chart:
    """One of the supernet's numbers, epoch by epoch."""
    scale = 100 if name == "accuracy" else 1e-6 if name == "expected_cost" and facts.budget.metric == "latency" else 1
    x, y = zip(*facts.curves[name], strict=True)
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": [scale * value for value in y],
        "line": {"color": "--accent", "width": 2},
        "hovertemplate": "epoch %{x}: %{y:.4g}<extra></extra>",
    }
    return {"data": [trace], "layout": layout_of("epoch, over all rounds", title)}
