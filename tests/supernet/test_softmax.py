"""The softmax of a single-branch block against `Fitness.probabilities` and hand-derived gradients, in float64."""

import numpy as np
import pytest
import torch

from evospace.cost.table import CostTable
from evospace.space.search_space import SearchSpace
from evospace.supernet.fitness import Fitness
from evospace.supernet.softmax import block_logits, block_options, block_shares, softmax_cost

NAMES = ("mbconv_k3_e1", "mbconv_k5_e1", "conv_k3_e1")
SPACE = SearchSpace((NAMES, NAMES[:2], NAMES[2:], ()), (False, True, True, False), "single")
TABLE = CostTable(
    metric="macs",
    fixed=7,
    ops=(
        {NAMES[0]: 3, NAMES[1]: 5, NAMES[2]: 11},
        {NAMES[0]: 2, NAMES[1]: 13},
        {NAMES[2]: 4},
        {},
    ),
)
ALPHA = (0.3, -1.2, 0.7, 2.0, -0.5, 0.9, 0.4, -0.2)
"""Of the operations, and of the skips of the first and the last block."""


def fitness() -> Fitness:
    made = Fitness(SPACE, skips=True).double()
    with torch.no_grad():
        made.alpha.copy_(torch.tensor(ALPHA, dtype=torch.float64))
    return made


def test_options_are_the_candidates_and_last_the_skip() -> None:
    assert block_options(SPACE) == (
        ((NAMES[0],), (NAMES[1],), (NAMES[2],), ()),
        ((NAMES[0],), (NAMES[1],)),
        ((NAMES[2],),),
        ((),),
    )
    with pytest.raises(AssertionError, match="single-branch"):
        block_options(SearchSpace((NAMES,), (False,)))


@pytest.mark.parametrize("space", [SPACE, SPACE.without([(0, NAMES[1]), (1, NAMES[0])])])
def test_shares_are_the_probabilities_that_paths_are_drawn_by_and_the_skip_has_the_rest(space: SearchSpace) -> None:
    made = fitness()
    shares = block_shares(made, space)
    for share, p, names, needed in zip(
        shares, made.probabilities(space), space.candidates, space.required, strict=True
    ):
        assert share.dtype == torch.float64
        np.testing.assert_allclose(share[: len(names)].detach().numpy(), p, atol=1e-15)
        assert share.sum().item() == pytest.approx(1.0, abs=1e-15)
        assert len(share) == len(names) + (not needed)
    assert shares[3].tolist() == [1.0]


def test_a_skip_has_a_logit_of_its_own_and_a_fitness_is_what_lies_above_it() -> None:
    made = fitness()
    assert [logits.tolist() for logits in block_logits(made, SPACE)] == [
        [0.3, -1.2, 0.7, 0.4],
        [2.0, -0.5],
        [0.9],
        [-0.2],
    ]
    assert made.values(SPACE)[0].tolist() == pytest.approx([-0.1, -1.6, 0.3])
    assert made.values(SPACE)[1].tolist() == [2.0, -0.5]
    with torch.no_grad():
        made.alpha.copy_(made.initial + torch.tensor([0.0, 0.5, 0.0, 0.0, 1.0, 0.0, -2.0, 0.0]))
    moved = [made.learned()[0, name] for name in NAMES] + [made.learned()[1, name] for name in NAMES[:2]]
    assert moved == pytest.approx([2.0, 2.5, 2.0, 0.0, 1.0])


def test_the_cost_of_a_softmax_is_the_tables_expectation_and_its_gradient_p_times_what_a_cost_is_above_it() -> None:
    made = fitness()
    cost = softmax_cost(block_shares(made, SPACE), SPACE, TABLE)
    assert cost.dtype == torch.float64
    assert cost.item() == pytest.approx(TABLE.expected(SPACE, made.probabilities(SPACE)), abs=1e-12)
    torch.autograd.backward(cost)
    by_hand = [
        float(p * (costs[name] - np.dot(block, list(costs.values()))))
        for block, costs, names in zip(made.probabilities(SPACE), TABLE.ops, SPACE.candidates, strict=True)
        for p, name in zip(block, names, strict=True)
    ]
    first, costs = made.probabilities(SPACE)[0], list(TABLE.ops[0].values())
    of_skips = [float((1 - first.sum()) * -np.dot(first, costs)), 0.0]  # a skip costs nothing
    assert made.alpha.grad is not None
    assert made.alpha.grad.tolist() == pytest.approx([*by_hand, *of_skips], abs=1e-12)
