"""The term for what the sum of a network's parts misses, and how good predictions are. Pure functions on arrays."""

import numpy as np
import numpy.typing as npt

from evospace.cost.latency_table import Fit

Floats = npt.NDArray[np.float64]


def fit_term(sums: Floats, operations: Floats, parameters: Floats, measured: Floats) -> Fit:
    """Least squares of the relative errors of `Fit`'s rule; more work and more weights never take less time.

    Args:
        sums: ``[n]`` nanoseconds of the networks' parts.
        operations: ``[n]`` operations in each network.
        parameters: ``[n]`` parameters of those.
        measured: ``[n]`` nanoseconds of the whole networks.
    """
    from scipy.optimize import lsq_linear  # scipy takes a second to load, and whoever searches needs none of it

    features = np.stack([np.ones_like(sums), sums, operations, parameters], axis=1) / measured[:, None]
    scale = np.maximum(np.abs(features).max(axis=0), 1e-12)  # parameters are millions, the constant is 1
    lowest = np.array([-np.inf, 0.0, -np.inf, 0.0])
    solved = lsq_linear(features / scale, np.ones_like(measured), bounds=(lowest, np.inf), method="bvls")
    constant, times, per_operation, per_parameter = (solved.x / scale).tolist()
    return Fit(constant=constant, scale=times, per_operation=per_operation, per_parameter=per_parameter)


def mean_error(predicted: Floats, measured: Floats) -> float:
    """Mean absolute relative error (MAPE, as a fraction)."""
    return float(np.mean(np.abs(predicted / measured - 1)))


def worst_error(predicted: Floats, measured: Floats) -> float:
    """Largest absolute relative error."""
    return float(np.max(np.abs(predicted / measured - 1)))


def rank_correlation(predicted: Floats, measured: Floats) -> float:
    """Kendall's tau-b; 0 where either is constant."""
    from scipy.stats import kendalltau

    tau = float(kendalltau(predicted, measured).statistic)
    return 0.0 if np.isnan(tau) else tau
