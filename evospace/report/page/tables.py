"""The page's tables, as rows of text."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from evospace.config import SearchConfig
from evospace.report.page.gather import RunFacts
from evospace.report.plan_lines import estimated_and_taken, together
from evospace.report.tables import short_cost
from evospace.settings_file import as_flags, completed

_NOT_IN_THE_COMMAND = ("out", "resume", "debug")


def percent(fraction: float | None) -> str:
    """`73.33 %`; nothing for `None`."""
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def networks(facts: RunFacts) -> list[dict[str, Any]]:
    """The front, a row a network."""
    return [
        {
            "index": i,
            "macs": f"{e.macs:,}",
            "params": f"{e.params:,}",
            "predicted": "" if e.latency is None else short_cost("latency", e.latency),
            "measured": _ms(facts.measured[i]) if facts.measured else "",
            "accuracy": percent(e.accuracy),
            "round": e.round,
            "blocks": [" + ".join(names) or "identity (no operation)" for names in e.architecture.blocks],
        }
        for i, e in enumerate(facts.front)
    ]


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g} ms"


def rounds(facts: RunFacts) -> list[list[str]]:
    """A row a finished round; a number that a run did not store is left out."""
    metric = facts.budget.metric
    return [
        [
            str(s["round"]),
            str(s.get("active", "")),
            str(s.get("pruned", "")),
            short_cost(metric, s["expected_cost"]) if "expected_cost" in s else "",
            str(len(state.front)),
            percent(max(e.accuracy for e in state.front)),
            _volume(s.get("hypervolume")),
            *([_volume(s.get("rehearsed_hypervolume"))] if facts.rounds > 1 else []),
            f"{s['train_seconds']:.1f}",
            f"{s['score_seconds']:.1f}",
        ]
        for s, state in zip(facts.summaries, facts.states, strict=True)
    ]


def _volume(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def retrained_rows(facts: RunFacts) -> list[list[str]]:
    """A row per retrained network and kind of weights."""
    rows = []
    for r in facts.retrained:
        known = r.index < len(facts.front)
        numbers = [r.mean(key) for key in ("loss", "calibration_error", "latency_ms")]
        costs = [f"{r.mean(key) or 0:,.0f}" for key in ("macs", "params")]
        texts = ["" if n is None else f"{n:.4g}" for n in numbers]
        score = percent(facts.front[r.index].accuracy) if known else ""
        accuracies = [_with_spread(r.mean(key), r.spread(key)) for key in ("top1", "top5")]
        rows.append(
            [str(r.index), r.weights, r.data, str(len(r.entries)), score, *accuracies, *texts[:2], *costs, texts[2]]
        )
    return rows


def _with_spread(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return percent(mean) if spread is None else f"{100 * mean:.2f} ± {100 * spread:.2f} %"


def forecast_rows(facts: RunFacts) -> list[list[str]]:
    """Seconds estimated and taken, over the rounds that were estimated and are done."""
    plan = facts.plan
    if plan is None:
        return []
    pairs = estimated_and_taken(plan, facts.summaries)
    if not together(pairs)[0]:
        return []
    rows = {"training": pairs["train"], "scoring": pairs["score"], "together": together(pairs)}
    return [[name, f"{e:,.0f} s", f"{a:,.0f} s", f"{a / e:.2f}" if e else ""] for name, (e, a) in rows.items()]


def command(config: Mapping[str, Any]) -> str:
    """The command line that says the same as `config.yaml`, less what says where the run is written."""
    defaults = {f.name: f.default for f in fields(SearchConfig)}
    stored = completed(SearchConfig, dict(config))
    return " ".join(["evospace search", *as_flags(stored, defaults, _NOT_IN_THE_COMMAND)])


def pairs(values: Any) -> list[tuple[str, str]]:
    """Name and value of a mapping, as text; nothing for anything else."""
    if not isinstance(values, dict):
        return []
    return [(str(k), str(v)) for k, v in values.items() if not isinstance(v, dict)]
