"""The term for what the sum of a network's parts misses, and how good predictions are. Pure functions on arrays."""

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from evospace.cost.latency_table import Fit

Floats = npt.NDArray[np.float64]


def fit_term(sums: Floats, operations: Floats, measured: Floats) -> Fit:
    """Least squares of the relative errors of ``constant + scale * sum + per_operation * operations``.

    Args:
        sums: ``[n]`` nanoseconds of the networks' parts.
        operations: ``[n]`` operations in each network.
        measured: ``[n]`` nanoseconds of the whole networks.
    """
    features = np.stack([np.ones_like(sums), sums, operations], axis=1)
    weights, *_ = np.linalg.lstsq(features / measured[:, None], np.ones_like(measured), rcond=None)
    constant, scale, per_operation = weights.tolist()
    return Fit(constant=constant, scale=scale, per_operation=per_operation)


def mean_error(predicted: Floats, measured: Floats) -> float:
    """Mean absolute relative error (MAPE, as a fraction)."""
    return float(np.mean(np.abs(predicted / measured - 1)))


def worst_error(predicted: Floats, measured: Floats) -> float:
    """Largest absolute relative error."""
    return float(np.max(np.abs(predicted / measured - 1)))


def rank_correlation(predicted: Floats, measured: Floats) -> float:
    """Kendall's tau-b; 0 where either is constant."""
    tau = float(kendalltau(predicted, measured).statistic)
    return 0.0 if np.isnan(tau) else tau
