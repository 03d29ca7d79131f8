"""What a search was estimated to cost, for people: before it begins, and beside what it took. No torch here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evospace.cost.budget import limits_text
from evospace.report.tables import short_cost
from evospace.strategies.contract import Problem

Pair = tuple[float, float]
"""Seconds estimated, and taken."""


@dataclass(frozen=True, kw_only=True)
class SpaceReport:
    """The full space beside the budget; probabilities under uniform gates."""

    log10_size: float
    low: int
    median: int
    high: int
    log10_inside: float | None
    """Of the number of architectures in the budget; `None` where that is too narrow to count them."""
    log10_mass: float | None
    """Of the probability that uniform gates draw one of them; `None` likewise."""
    accepted: float
    """Fraction of draws inside the budget that keep the further upper limits."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Seconds of each round to come, in order, and the peak of memory."""

    first_round: int
    active: tuple[int, ...]
    """Operations per block."""
    train: tuple[float, ...]
    score: tuple[float, ...]
    other: float
    """A round's pictures."""
    memory: int
    """Bytes of the process (of the GPU, on one)."""

    @property
    def total(self) -> float:
        """Seconds of all rounds."""
        return sum(self.train) + sum(self.score) + self.other * len(self.train)

    def to_json(self) -> dict[str, Any]:
        """What `plan.json` holds."""
        return {
            "first_round": self.first_round,
            "rounds": len(self.train),
            "active_per_block": list(self.active),
            "train_seconds": round(sum(self.train), 2),
            "score_seconds": round(sum(self.score), 2),
            "other_seconds": round(self.other * len(self.train), 2),
            "total_seconds": round(self.total, 2),
            "memory_mib": round(self.memory / 2**20),
        }


def space_lines(problem: Problem, report: SpaceReport) -> Iterator[str]:
    """What a person is told of the space and the budget."""
    metric = problem.budget.metric
    say = partial(short_cost, metric)
    yield (
        f"space    10^{report.log10_size:.0f} architectures: {len(problem.full.candidates)} blocks, pool of"
        f" {len(problem.full.candidates[0])}"
    )
    yield f"cost     {metric} {say(report.low)} / {say(report.median)} / {say(report.high)} (min / median / max)"
    yield f"budget   {problem.budget}: {_inside(report)}"
    if problem.limits:
        yield f"limits   {limits_text(problem.limits)}: kept by {100 * report.accepted:.1f} % of draws in the budget"
        if not report.accepted:
            yield (
                "warning: no draw keeps the limits beside the budget; a search trains on others, and looks for those"
                " that do one by one: raise a limit"
            )


def _inside(report: SpaceReport) -> str:
    if report.log10_inside is None or report.log10_mass is None:
        return "too narrow to count its architectures"
    return (
        f"about 10^{report.log10_inside:.0f} architectures; one in 10^{-report.log10_mass:.1f} draws of uniform gates"
    )


def forecast_lines(found: Forecast) -> Iterator[str]:
    """What a person is told of time and memory."""
    rounds = len(found.train)
    yield f"memory   about {found.memory / 2**20:.0f} MiB at the peak"
    yield (
        f"time     a round: train {sum(found.train) / rounds:.1f} s, score {sum(found.score) / rounds:.1f} s, other"
        f" {found.other:.1f} s; {rounds} round(s): about {duration(found.total)}"
    )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def estimated_and_taken(plan: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> dict[str, Pair]:
    """Seconds by phase, over the rounds that the plan was made for and that are done."""
    last = plan["first_round"] + plan["rounds"] - 1
    done = [s for s in summaries if plan["first_round"] <= s["round"] <= last]
    share = len(done) / plan["rounds"]
    return {p: (share * plan[f"{p}_seconds"], sum(s[f"{p}_seconds"] for s in done)) for p in ("train", "score")}


def together(pairs: Mapping[str, Pair]) -> Pair:
    """The phases added up."""
    return sum(e for e, _ in pairs.values()), sum(a for _, a in pairs.values())


def outcome_line(plan: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> str:
    """Estimate and actual side by side, over the rounds that the plan was made for and that are done."""
    pairs = estimated_and_taken(plan, summaries)
    total = together(pairs)
    parts = ", ".join(f"{phase} {estimate:.0f} s -> {actual:.0f} s" for phase, (estimate, actual) in pairs.items())
    ratio = total[1] / total[0] if total[0] else math.nan
    return (
        f"estimated -> actual: {parts}, together {total[0]:.0f} s -> {total[1]:.0f} s ({ratio:.2f} times the estimate)"
    )
