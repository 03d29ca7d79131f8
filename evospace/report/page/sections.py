"""What the page's headline says."""

from dataclasses import dataclass
from pathlib import Path

from evospace.cost.budget import limits_text
from evospace.report.page.gather import RunFacts
from evospace.report.page.grid import operations, traversed
from evospace.report.page.tables import percent
from evospace.report.plan_lines import duration
from evospace.report.tables import short_cost

UNITS = {"macs": " MACs", "params": " parameters", "latency": ""}


@dataclass(frozen=True)
class Tile:
    """One number of the headline."""

    label: str
    value: str
    hint: str


def data_name(facts: RunFacts) -> str:
    """A known name, or the last part of a folder's."""
    given = str(facts.config.get("data", ""))
    return Path(given).name or given


def best(facts: RunFacts) -> int:
    """Index of the front's most accurate network."""
    return max(range(len(facts.front)), key=lambda i: facts.front[i].accuracy)


def tried(facts: RunFacts) -> dict[str, int]:
    """Operations of the pool, blocks, and the pairs of the two: all of the space, and those that were searched."""
    pool, blocks, pairs = len(operations(facts)), len(facts.states[-1].waiting), len(facts.pairs)
    return {"pool": pool, "blocks": blocks, "pairs": pairs, "tried": len(traversed(facts))}


def tiles(facts: RunFacts) -> list[Tile]:
    """The headline's numbers."""
    index, counts = best(facts), tried(facts)
    member, metric = facts.front[index], facts.budget.metric
    seconds = sum(s["train_seconds"] + s["score_seconds"] for s in facts.summaries)
    latency = "" if member.latency is None else f", {short_cost('latency', member.latency)} predicted"
    cost = f"network {index}: {short_cost('macs', member.macs)} MACs, {member.params:,} parameters{latency}"
    window = " to ".join(short_cost(metric, cost) for cost in (facts.budget.low, facts.budget.high))
    further = f"; {limits_text(facts.limits)}" if facts.limits else ""
    found = [
        Tile("Data", data_name(facts), _data_hint(facts)),
        Tile("Budget", f"{window}{UNITS[metric]}", f"given as {facts.config.get('budget')}{further}"),
        Tile("Best in the search", percent(member.accuracy), cost),
        _tried_tile(facts, counts),
        Tile("Rounds", f"{len(facts.states)} of {facts.rounds}", f"{duration(seconds)} of training and scoring"),
    ]
    return [*found[:3], *_retrained_tile(facts), *found[3:]]


def _tried_tile(facts: RunFacts, counts: dict[str, int]) -> Tile:
    each = counts["pairs"] / counts["blocks"]
    space = f"{each:.0f} in each of {counts['blocks']} blocks" if each.is_integer() else f"in {counts['blocks']} blocks"
    if facts.alone:
        return Tile("Networks trained", f"{facts.scored:,}", f"operations to choose from: {space}")
    return Tile("Operations tried", f"{counts['tried']:,} of {counts['pairs']:,}", space)


def _retrained_tile(facts: RunFacts) -> list[Tile]:
    if not facts.retrained:
        return []
    top = max(facts.retrained_as_searched, key=lambda r: r.mean("top1") or 0)
    spread = top.spread("top1")
    more = "" if spread is None else f" ± {100 * spread:.2f}"
    hint = f"network {top.index} trained on its own, {top.weights} weights, seeds: {len(top.entries)}"
    if (tests := len(facts.retrained_as_searched)) > 1:
        hint += f"; the best of {tests} tested, which flatters it"
    return [Tile("Best after retraining", f"{100 * (top.mean('top1') or 0):.2f}{more}\N{NO-BREAK SPACE}%", hint)]


def _data_hint(facts: RunFacts) -> str:
    contents = facts.environment.get("contents")
    if not isinstance(contents, dict):
        return ""
    parts = [
        (f"{contents[key]} {what}")
        for key, what in (("classes", "classes"), ("image size", "pixels"))
        if key in contents
    ]
    return ", ".join(parts)
