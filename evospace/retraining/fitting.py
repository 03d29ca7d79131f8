"""A network made to fit other images, classes, widths and budgets."""

from dataclasses import replace

from evospace.cost.budget import Budget, amount, parse_budget
from evospace.cost.network_cost import count_network
from evospace.errors import BudgetError
from evospace.networks import with_se
from evospace.retraining.config import RetrainConfig
from evospace.space.described import DescribedNetwork

STEP = 0.005
"""Widths are tried in steps of this size: the paper's are 1.04 and 1.045."""
NARROWEST, WIDEST = 0.1, 10.0


def adapted(described: DescribedNetwork, config: RetrainConfig, *, channels: int, size: int) -> DescribedNetwork:
    """The network for images of `channels` x `size` x `size`, with what `config` says of gates and activation.

    Its width is the one given, or the largest that meets the budget.
    """
    described = with_se(described) if config.se else described
    skeleton = replace(
        described.skeleton,
        image_channels=channels,
        image_size=size,
        activation=config.activation or described.skeleton.activation,
    )
    described = replace(described, skeleton=skeleton, mean=(), std=())
    if config.fit_budget:
        return widened(described, fitting_width(described, parse_budget(config.fit_budget)[0]))
    return widened(described, config.width) if config.width != 1.0 else described


def widened(described: DescribedNetwork, width: float) -> DescribedNetwork:
    """All channels but the first times `width` (see `Skeleton.scaled`)."""
    return replace(described, skeleton=described.skeleton.scaled(width))


def fitting_width(described: DescribedNetwork, budget: Budget) -> float:
    """The largest width, in steps of `STEP` up to `WIDEST`, whose cost lies in the budget.

    The cost never falls with the width.

    Raises `BudgetError` where none does, with the nearest costs.
    """
    low, high = round(NARROWEST / STEP), round(WIDEST / STEP)
    if _cost(described, low, budget) > budget.high:
        raise BudgetError(f"{budget}: at width {NARROWEST} the network costs {_shown(described, low, budget)} already")
    if _cost(described, high, budget) <= budget.high:
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        fits = _cost(described, middle, budget) <= budget.high
        low, high = (middle, high) if fits else (low, middle)
    if low == high and _cost(described, low, budget) < budget.low:
        raise BudgetError(f"{budget}: at width {WIDEST} the network costs {_shown(described, low, budget)} only")
    if _cost(described, low, budget) < budget.low:
        raise BudgetError(
            f"{budget} lies between two widths: {STEP * low:.3f} costs {_shown(described, low, budget)}, the next step"
            f" {_shown(described, high, budget)}; widen the budget"
        )
    return STEP * low


def _cost(described: DescribedNetwork, steps: int, budget: Budget) -> int:
    wide = widened(described, STEP * steps)
    return count_network(wide.skeleton, wide.architecture, wide.classes)[budget.metric]


def _shown(described: DescribedNetwork, steps: int, budget: Budget) -> str:
    return f"{amount(budget.metric, _cost(described, steps, budget))} {budget.metric}"
