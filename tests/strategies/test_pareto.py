import numpy as np
import pytest

from evospace.cost.budget import Budget
from evospace.estimation.evaluation import Evaluation
from evospace.space.architecture import Architecture
from evospace.strategies.pareto import front_hypervolume, front_of, hypervolume, nondominated

BUDGET = Budget.parse("macs=10..20")


def scored(macs: int, accuracy: float) -> Evaluation:
    return Evaluation(
        architecture=Architecture.of([[f"{macs}-{accuracy}"]]),
        macs=macs,
        params=1,
        accuracy=accuracy,
        round=1,
    )


def test_nondominated_and_hypervolume_by_hand() -> None:
    cost, accuracy = np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.6, 0.6])
    assert nondominated(cost, accuracy).tolist() == [True, False, True, False]
    area = hypervolume(np.array([0.5, 0.8]), np.array([0.6, 0.9]), ceiling=1.0, classes=2)
    assert area == pytest.approx(0.5 * 0.1 + 0.2 * 0.3)


def test_cheaper_architectures_dominate_but_do_not_enter() -> None:
    front = front_of([scored(9, 0.5), scored(12, 0.4), scored(15, 0.6), scored(18, 0.7), scored(19, 0.65)], BUDGET)
    assert [e.macs for e in front] == [15, 18]


def test_a_front_is_never_empty_and_accuracy_rises() -> None:
    assert [e.macs for e in front_of([scored(9, 0.9), scored(12, 0.4), scored(11, 0.4)], BUDGET)] == [11]
    tie = front_of([scored(12, 0.5), scored(14, 0.5), scored(12, 0.5)], BUDGET)
    assert [e.macs for e in tie] == [12]


def test_the_hypervolume_of_a_front_is_relative_to_the_budgets_ceiling() -> None:
    front = [scored(12, 0.4), scored(15, 0.6)]  # of a ceiling of 20: (15 - 12) / 20 x 0.3 and (20 - 15) / 20 x 0.5
    assert front_hypervolume(front, BUDGET, classes=10) == pytest.approx(0.15 * 0.3 + 0.25 * 0.5)
    assert front_hypervolume([], BUDGET, classes=10) == 0.0
