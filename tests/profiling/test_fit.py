import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.profiling.fit import fit_term, mean_error, rank_correlation, worst_error


@given(st.floats(0, 1e5), st.floats(0.5, 2.0), st.floats(-500, 2000), st.floats(0, 0.2), st.integers(0, 99))
def test_finds_the_coefficients_of_a_machine_that_follows_the_rule(
    constant: float, scale: float, each: float, weights: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sums, operations = rng.uniform(1e5, 3e6, 24), rng.integers(3, 40, 24).astype(float)
    parameters = rng.uniform(1e4, 3e6, 24)
    measured = constant + scale * sums + each * operations + weights * parameters
    fit = fit_term(sums, operations, parameters, measured)
    predicted = fit.constant + fit.scale * sums + fit.per_operation * operations + fit.per_parameter * parameters
    assert predicted == pytest.approx(measured, rel=1e-5)
    assert fit.scale == pytest.approx(scale, abs=1e-2)
    assert fit.per_parameter == pytest.approx(weights, abs=1e-2)


def test_more_weights_never_take_less_time() -> None:
    sums, parameters = np.array([1e6, 2e6, 3e6, 4e6]), np.array([4e5, 3e5, 2e5, 1e5])
    fit = fit_term(sums, np.zeros(4), parameters, sums - parameters)
    assert fit.per_parameter == 0.0
    assert fit.scale > 0


def test_relative_errors_count() -> None:
    """Networks that take 1 and 1,000: an error of 1 weighs a thousand times as much in the first."""
    sums, nothing = np.array([1.0, 2.0, 1000.0, 1001.0]), np.zeros(4)
    fit = fit_term(sums, nothing, nothing, np.array([1.0, 2.0, 1100.0, 1101.0]))
    assert abs(fit.constant + fit.scale * 1.0 - 1.0) < 0.2


def test_errors_by_hand() -> None:
    predicted, measured = np.array([110.0, 95.0, 100.0]), np.array([100.0, 100.0, 100.0])
    assert mean_error(predicted, measured) == pytest.approx(0.05)
    assert worst_error(predicted, measured) == pytest.approx(0.1)


def test_rank_correlation_by_hand() -> None:
    order = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(order, order**2) == 1.0
    assert rank_correlation(order, -order) == -1.0
    assert rank_correlation(np.array([1.0, 2.0, 4.0, 3.0]), order) == pytest.approx(4 / 6)  # 5 pairs agree, 1 does not
    assert rank_correlation(order, np.ones(4)) == 0.0
