"""Which networks of a run are retrained to judge its ranking, and how well two rankings agree. Pure; no torch here."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from evospace.cost.budget import parse_budget
from evospace.errors import UsageError
from evospace.seeding import numpy_generator

DRAWS = 1000
"""Bootstrap samples of the pairs: enough for two digits of a 95 % interval."""
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap."""
KNOWN = 0.95
"""An interval is told where at least this part of the samples has a correlation: the others would be left out of it."""
FEWEST = 5
"""Pairs below which a rank correlation says nothing: of three, two of six orders are perfect, and all their samples."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A network as the search scored it."""

    architecture: str
    """As JSON, which is what the run stores."""
    macs: int
    params: int
    score: float
    """A fraction of the scoring images."""

    @property
    def key(self) -> str:
        """Tells it from others, in this run and for good."""
        return hashlib.sha256(json.dumps(json.loads(self.architecture)).encode()).hexdigest()[:12]


def in_budget(rows: Sequence[tuple[str, int, int, float]], budget: str) -> list[Scored]:
    """The distinct networks (architecture as JSON, macs, params, score) inside a budget, worst first.

    Raises `UsageError` for a budget of latency.
    """
    window, _ = parse_budget(budget)
    if window.metric == "latency":
        raise UsageError(f"budget {budget}: a ranking is told for macs and params only; give a run with such a budget")
    scored = {a: Scored(architecture=a, macs=macs, params=params, score=score) for a, macs, params, score in rows}
    inside = (s for s in scored.values() if (s.macs if window.metric == "macs" else s.params) in window)
    return sorted(inside, key=lambda s: (s.score, s.architecture))


def spread_evenly(scored: Sequence[Scored], n: int) -> list[Scored]:
    """`n` of them at even distances in the order given, the first and the last among them.

    Raises `UsageError` where there are fewer.
    """
    if len(scored) < n:
        raise UsageError(
            f"--networks {n}: the last round scored {len(scored)} networks in the budget; give at most that"
        )
    return [scored[round(i * (len(scored) - 1) / (n - 1))] for i in range(n)]


def correlations(scores: Sequence[float], tested: Sequence[float], seed: int) -> dict[str, Any]:
    """Kendall's tau-b and Spearman's rho of paired values, each with a 95 % percentile bootstrap interval over pairs.

    `None` for fewer than five pairs, or where all values of a side are the same. Ends of an interval are `None` where
    so many are that the values of a side are all the same in more than one sample of twenty.
    """
    pairs = np.column_stack([scores, tested]) if len(scores) else np.empty((0, 2))
    drawn = numpy_generator(seed, "ranking-bootstrap").integers(0, max(len(pairs), 1), (DRAWS, len(pairs)))
    measures: dict[str, Callable[..., Any]] = {"kendall": kendalltau, "spearman": spearmanr}
    return {name: _with_interval(pairs, drawn, measure) for name, measure in measures.items()}


def _with_interval(pairs: np.ndarray, drawn: np.ndarray, measure: Callable[..., Any]) -> dict[str, Any] | None:
    """`pairs` P x 2, `drawn` DRAWS x P; samples in which a side is constant have no correlation and are left out."""
    if len(pairs) < FEWEST or _constant(pairs):
        return None
    values = [measure(*sample.T).statistic for sample in (pairs[i] for i in drawn) if not _constant(sample)]
    known = len(values) >= KNOWN * len(drawn)
    low, high = np.percentile(values, INTERVAL).tolist() if known else (None, None)
    return {"value": float(measure(*pairs.T).statistic), "low": low, "high": high, "pairs": len(pairs)}


def _constant(pairs: np.ndarray) -> bool:
    return bool((pairs == pairs[0]).all(axis=0).any())
