"""Pareto front and hypervolume over (cost, accuracy), through moocore. Pure functions on arrays."""

from collections.abc import Sequence

import moocore
import numpy as np

from evospace.cost.budget import Budget
from evospace.estimation.evaluation import Evaluation


def nondominated(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Mask ``[n]``: no other point is at most as dear and at least as accurate; of equal points the first stays."""
    points = np.column_stack([cost.astype(float), accuracy])
    mask: np.ndarray = moocore.is_nondominated(points, maximise=[False, True])
    return mask


def hypervolume(cost: np.ndarray, accuracy: np.ndarray, *, ceiling: float, classes: int) -> float:
    """Area dominated in (cost / ceiling, accuracy), reference point (1, 1 / classes)."""
    points = np.column_stack([cost / ceiling, accuracy])
    return float(moocore.hypervolume(points, ref=[1.0, 1.0 / classes], maximise=[False, True]))


def survivors(scored: Sequence[Evaluation], budget: Budget) -> list[Evaluation]:
    """Members inside the budget window that nothing dominates, cheapest first, accuracy strictly rising.

    Architectures just below the window take part in domination but may not enter; so there may be none.
    """
    cost = np.array([e.cost(budget.metric) for e in scored])
    mask = nondominated(cost, np.array([e.accuracy for e in scored]))
    members = [e for e, kept in zip(scored, mask, strict=True) if kept and e.cost(budget.metric) in budget]
    return sorted(members, key=lambda e: e.cost(budget.metric))


def front_of(scored: Sequence[Evaluation], budget: Budget) -> list[Evaluation]:
    """The survivors; where cheaper architectures dominate all inside, the most accurate (then cheapest) inside."""
    inside = [e for e in scored if e.cost(budget.metric) in budget]
    return survivors(scored, budget) or [max(inside, key=lambda e: (e.accuracy, -e.cost(budget.metric)))]


def front_hypervolume(front: Sequence[Evaluation], budget: Budget, classes: int) -> float:
    """Hypervolume of a front relative to the budget's ceiling; 0 for none."""
    if not front:
        return 0.0
    cost = np.array([e.cost(budget.metric) for e in front], dtype=float)
    accuracy = np.array([e.accuracy for e in front])
    return hypervolume(cost, accuracy, ceiling=budget.high, classes=classes)
