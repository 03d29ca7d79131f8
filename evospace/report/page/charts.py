"""The charts as plain values for plotly.js. A colour that begins with `--` is one of the page's own, light or dark."""

from collections import Counter
from collections.abc import Sequence

from evospace.cost.budget import Budget
from evospace.estimation.evaluation import Evaluation
from evospace.report.page.gather import RunFacts
from evospace.report.page.parts import METRICS, UNITS, Chart, label, layout_of
from evospace.report.page.ranking import Ranking
from evospace.report.page.training_charts import curve, fitness
from evospace.report.tables import short_cost

SHOWN = 3
"""Operations of a block that a hover names; the tables name all."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
_EARLY, _LATE = (0x93, 0xA1, 0xB5), (0x2B, 0x6C, 0xB0)
"""Rounds go from grey to blue; the last one has the page's accent."""


def charts(facts: RunFacts) -> dict[str, Chart]:
    """Every chart that the run has data for, by its place in the page."""
    found = {"fronts": fronts(facts), "outcomes": outcomes(facts)}
    if facts.learned:
        found["fitness"] = fitness(facts)
    for name, title in (("loss", "training loss"), ("accuracy", "training accuracy (%)")):
        if name in facts.curves:
            found[f"curve-{name}"] = curve(facts, name, title)
    if "expected_cost" in facts.curves and facts.learned:
        found["curve-expected_cost"] = curve(facts, "expected_cost", f"expected {UNITS[facts.budget.metric]}")
    if facts.retrained:
        found["retrained"] = retrained(facts)
    if facts.ranking:
        found["ranking"] = ranking(facts.ranking)
    return found


def fronts(facts: RunFacts) -> Chart:
    """Accuracy over cost, a line a round."""
    budget, last = facts.budget, len(facts.states)
    traces = []
    for number, state in enumerate(facts.states, start=1):
        points = sorted(state.front, key=lambda e: e.cost(budget.metric))
        colour = "--accent" if number == last else _mix((number - 1) / max(last - 2, 1))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"round {number}",
                "x": [_cost(budget, e) for e in points],
                "y": [100 * e.accuracy for e in points],
                "customdata": [describe(e, budget) for e in points],
                "hovertemplate": f"<b>round {number}, %{{y:.2f}} %</b><br>%{{customdata}}<extra></extra>",
                "line": {"color": colour, "width": 3 if number == last else 1.5},
                "marker": {
                    "color": colour,
                    "size": 11 if number == last else 9,
                    "symbol": _SYMBOLS[(number - 1) % len(_SYMBOLS)],
                },
            }
        )
    return {"data": traces, "layout": layout_of(METRICS[budget.metric], "accuracy (%)")}


def outcomes(facts: RunFacts) -> Chart:
    """How many operations each round kept, dropped or put off."""
    counts = Counter((row.round, row.outcome) for row in facts.ledger)
    rounds = [s.round for s in facts.states]
    texts = {"kept": "on the front", "unused": "unused", "pruned": "pruned", "postponed": "postponed"}
    traces = [
        {
            "type": "bar",
            "width": min(0.7, 0.2 + 0.1 * len(rounds)),
            "name": text,
            "x": [str(r) for r in rounds],
            "y": [counts[r, outcome] for r in rounds],
            "marker": {"color": f"--{outcome}"},
            "hovertemplate": f"round %{{x}}: %{{y}} {text}<extra></extra>",
        }
        for outcome, text in texts.items()
        if any(counts[r, outcome] for r in rounds)
    ]
    layout = layout_of("round", "operations") | {"barmode": "stack"}
    return {"data": traces, "layout": layout | {"xaxis": {"title": {"text": "round"}, "type": "category"}}}


def retrained(facts: RunFacts) -> Chart:
    """Beside each network's score in the supernet, what it reached when trained on its own."""
    scores = dict(enumerate(facts.front))
    shown = sorted({r.index for r in facts.retrained_as_searched} & set(scores))
    traces: list[Chart] = [
        _points("in the supernet", [(i, 100 * scores[i].accuracy, 0.0) for i in shown], "--unused", "circle-open")
    ]
    for weights, colour, symbol in (("last", "--accent", "diamond"), ("ema", "--kept", "square")):
        found = [r for r in facts.retrained_as_searched if r.weights == weights]
        points = [(r.index, 100 * (r.mean("top1") or 0), 100 * (r.spread("top1") or 0)) for r in found]
        traces.append(_points(f"retrained ({weights} weights)", points, colour, symbol))
    layout = layout_of("network of the front", "accuracy (%)")
    return {"data": [t for t in traces if t["x"]], "layout": layout | {"xaxis": {"type": "category"}}}


def ranking(found: Ranking) -> Chart:
    """Tested accuracy over the score in the supernet."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [100 * score for score, _, _ in found.points],
        "y": [100 * tested for _, tested, _ in found.points],
        "customdata": [short_cost("macs", macs) for _, _, macs in found.points],
        "marker": {"color": "--accent", "size": 10},
        "hovertemplate": "score %{x:.2f} %, tested %{y:.2f} %<br>%{customdata} MACs<extra></extra>",
    }
    return {"data": [trace], "layout": layout_of("score in the supernet (%)", "tested after retraining (%)")}


def _points(name: str, points: Sequence[tuple[int, float, float]], colour: str, symbol: str) -> Chart:
    spreads = [spread for _, _, spread in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [f"network {index}" for index, _, _ in points],
        "y": [mean for _, mean, _ in points],
        "error_y": {"type": "data", "array": spreads, "color": colour, "visible": any(spreads)},
        "marker": {"color": colour, "size": 11, "symbol": symbol},
        "hovertemplate": "%{x}: %{y:.2f} %<extra></extra>",
    }


def describe(e: Evaluation, budget: Budget) -> str:
    """A network in a few lines, for a hover."""
    unit, _, _ = UNITS[budget.metric].partition(" (")
    lines = [f"{short_cost(budget.metric, e.cost(budget.metric))} {unit}, found in round {e.round}"]
    for number, names in enumerate(e.architecture.blocks, start=1):
        more = f" + {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(f"{number}: {label(' + '.join(names[:SHOWN]) or 'identity')}{more}")
    return "<br>".join(lines)


def _cost(budget: Budget, e: Evaluation) -> float:
    return e.cost(budget.metric) / (10**6 if budget.metric == "latency" else 1)


def _mix(share: float) -> str:
    share = min(share, 1)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(_EARLY, _LATE, strict=True))
