"""The two-subset gradient and the expected cost against hand-derived values in float64; pruning."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.table import CostTable
from evospace.ops.spec import BlockShape
from evospace.sampling.gates import initial_probabilities
from evospace.space.search_space import Branches, Gates, SearchSpace
from evospace.supernet.choice_block import ChoiceBlock
from evospace.supernet.fitness import (
    FLOOR,
    Fitness,
    Pair,
    PruneRule,
    cost_penalty,
    draw_pairs,
    expected_cost,
    first_weights,
    log_cost_penalty,
    pair_route,
    probability,
)

NAMES = ("mbconv_k3_e1", "mbconv_k5_e1", "conv_k3_e1")
SHAPE = BlockShape(in_channels=4, out_channels=4, stride=1, resolution=6)
REDUCTION = BlockShape(in_channels=4, out_channels=8, stride=2, resolution=6)
KEEP = SearchSpace((NAMES,), (False,))


def alphas(*values: float) -> Fitness:
    fitness = Fitness(KEEP).double()
    with torch.no_grad():
        fitness.alpha.copy_(torch.tensor(values, dtype=torch.float64))
    return fitness


@pytest.mark.parametrize(
    "pair",
    [
        (NAMES[:1], NAMES[1:2]),
        (NAMES[:2], NAMES[1:]),
        (NAMES, ()),
        ((), NAMES[1:2]),
        (NAMES[:2], NAMES[:1]),
    ],
)
def test_u_is_the_share_of_the_two_subsets_probabilities(pair: Pair) -> None:
    fitness = alphas(0.3, -1.2, 0.7)
    p = dict(zip(NAMES, probability(fitness.alpha).tolist(), strict=True))

    def mass(chosen: tuple[str, ...]) -> float:
        return float(np.prod([p[n] if n in chosen else 1 - p[n] for n in NAMES]))

    u = first_weights(fitness, KEEP, [pair])
    assert u.item() == pytest.approx(mass(pair[0]) / (mass(pair[0]) + mass(pair[1])), abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "pair"),
    [
        (SHAPE, (NAMES[:2], NAMES[1:])),
        (SHAPE, (NAMES, ())),
        (SHAPE, (NAMES[:1], NAMES[:2])),
        (REDUCTION, (NAMES[:2], NAMES[1:])),
        (REDUCTION, (NAMES[:1], NAMES[2:])),
    ],
)
def test_block_gradient_is_that_of_the_two_way_mixture(shape: BlockShape, pair: Pair) -> None:
    torch.manual_seed(0)
    block = ChoiceBlock(NAMES, shape).double().requires_grad_(False)
    images = torch.randn(2, 4, 6, 6).double()
    readout = torch.randn(2, shape.out_channels, shape.out_resolution, shape.out_resolution).double()
    fitness = alphas(0.3, -1.2, 0.7)
    u = first_weights(fitness, KEEP, [pair])
    output = block(images, pair_route([pair], u)[0])
    torch.autograd.backward((output * readout).sum())

    def mean(chosen: tuple[str, ...]) -> torch.Tensor:
        parts = [block.ops[n](images) for n in chosen] + ([images] if shape.keeps_shape else [])
        return torch.stack(parts).mean(0)

    first, second = mean(pair[0]), mean(pair[1])
    torch.testing.assert_close(output, first)
    slope = ((first - second) * readout).sum().item()
    a, share = fitness.alpha.detach(), u.item()
    for i, name in enumerate(NAMES):
        side = (name in pair[0]) - (name in pair[1])
        s = torch.sigmoid(a[i]).item()
        p = probability(a[i]).item()
        dlogit = 0.999 * s * (1 - s) / (p * (1 - p))
        assert fitness.alpha.grad is not None
        assert fitness.alpha.grad[i].item() == pytest.approx(slope * share * (1 - share) * side * dlogit, rel=1e-9)


def test_agreeing_gates_get_no_gradient_and_one_operation_alone_is_ungated() -> None:
    fitness = alphas(0.5, 0.5, 0.5)
    pairs: list[Pair] = [(NAMES[:2], NAMES[:1])]
    torch.autograd.backward(first_weights(fitness, KEEP, pairs).sum())
    assert fitness.alpha.grad is not None
    assert fitness.alpha.grad[0] == 0
    assert fitness.alpha.grad[1] != 0
    assert fitness.alpha.grad[2] == 0
    alone = SearchSpace((NAMES[:1],), (True,))
    (pair,) = draw_pairs(alone, Fitness(alone), np.random.default_rng(0))
    assert pair == (NAMES[:1],)
    u = first_weights(Fitness(alone), alone, [pair])
    assert u.tolist() == [1.0]
    assert pair_route([pair], u)[0][0].weight is None


@pytest.mark.parametrize("branches", ["multi", "single"])
@pytest.mark.parametrize("required", [False, True])
def test_pairs_follow_the_distribution_and_differ(branches: Branches, required: bool) -> None:
    space = SearchSpace((NAMES,), (required,), branches)
    p = [np.array([0.2, 0.3, 0.1])]
    fitness, rng = Fitness(space).double(), np.random.default_rng(1)
    inside = (p[0] - 5e-4) / 0.999
    alpha = np.log(inside / (1 - inside)) if branches == "multi" else np.log(p[0] / 0.4)
    with torch.no_grad():
        fitness.alpha.copy_(torch.from_numpy(alpha))
    pairs = [draw_pairs(space, fitness, rng)[0] for _ in range(4000)]
    assert all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    assert not (required and any(() in pair for pair in pairs))
    options = [
        c for n in range(len(NAMES) + 1) for c in itertools.combinations(NAMES, n) if branches == "multi" or n <= 1
    ]
    options = [c for c in options if c or not required]

    def mass(chosen: tuple[str, ...]) -> float:
        if branches == "single":
            return float(p[0][NAMES.index(chosen[0])]) if chosen else 0.4
        return float(np.prod([q if n in chosen else 1 - q for n, q in zip(NAMES, p[0], strict=True)]))

    total = sum(map(mass, options))
    for option in options:
        seen = sum(pair[0] == option for pair in pairs) / len(pairs)
        assert seen == pytest.approx(mass(option) / total, abs=0.03)


def test_expected_cost_is_the_enumerated_expectation_over_the_pairs() -> None:
    space = SearchSpace((NAMES, NAMES[:2]), (False, True))
    table = CostTable(
        metric="macs", fixed=7, ops=({NAMES[0]: 3, NAMES[1]: 5, NAMES[2]: 11}, {NAMES[0]: 2, NAMES[1]: 13})
    )
    pairs: list[Pair] = [(NAMES[:2], NAMES[2:]), (NAMES[:1], NAMES[:2])]
    u = torch.tensor([0.3, 0.8], dtype=torch.float64)
    by_hand = sum(
        (u[0] if i == 0 else 1 - u[0]) * (u[1] if j == 0 else 1 - u[1]) * (7 + [8, 11][i] + [2, 15][j])
        for i in range(2)
        for j in range(2)
    )
    assert expected_cost(pairs, u, table).item() == pytest.approx(float(by_hand))
    assert len(Fitness(space).index) == 5


def test_the_log_penalty_is_the_square_near_the_target_and_small_far_from_it() -> None:
    near, far = (torch.tensor([300.0 * ratio], dtype=torch.float64) for ratio in (1.001, 100.0))
    torch.testing.assert_close(log_cost_penalty(near, 300.0), cost_penalty(near, 300.0), rtol=2e-3, atol=0.0)
    assert float(log_cost_penalty(far, 300.0)) == pytest.approx(0.9 * np.log(100.0) ** 2)


def test_penalty_has_the_authors_weight() -> None:
    value = cost_penalty(torch.tensor(330.0, dtype=torch.float64), 300.0)
    assert value.item() == pytest.approx(1e-5 * 30.0**2)


@given(
    st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=6),
    st.booleans(),
    st.sets(st.integers(0, 5)),
)
def test_pruning_never_empties_a_required_block_nor_drops_a_locked_operation(
    values: list[float], required: bool, locked: set[int]
) -> None:
    names = tuple(f"conv_k{i + 1}" for i in range(len(values)))
    space = SearchSpace((names,), (required,))
    held = frozenset((0, names[i]) for i in locked if i < len(names))
    fitness = {(0, name): value for name, value in zip(names, values, strict=True)}
    weak = PruneRule(locked=held).weak(space, fitness)
    assert not held & set(weak)
    left = set(names) - {name for _, name in weak}
    assert all(v < -2.0 for v, n in zip(values, names, strict=True) if n not in left)
    if required and max(values) < -2.0:
        assert len(left) >= min(2, len(names))
        assert names[int(np.argmax(values))] in left
    if required:
        assert left


def test_all_weak_operations_go_at_once_where_a_fit_one_stays() -> None:
    space = SearchSpace((NAMES,), (True,))
    fitness = dict(zip(((0, name) for name in NAMES), (-3.0, 1.0, -2.5), strict=True))
    assert PruneRule().weak(space, fitness) == [(0, NAMES[0]), (0, NAMES[2])]


@pytest.mark.parametrize("branches", ["multi", "single"])
@pytest.mark.parametrize("gates", ["uniform", "sparse"])
def test_fitness_begins_with_the_gates_of_the_space(branches: Branches, gates: Gates) -> None:
    space = SearchSpace((NAMES, NAMES[:2], ()), (False, True, False), branches, gates)
    fitness = Fitness(space)
    for ours, start in zip(fitness.probabilities(space), initial_probabilities(space), strict=True):
        assert ours.tolist() == pytest.approx(start.tolist(), abs=FLOOR)
    assert set(fitness.learned().values()) <= {0.0}
    assert not PruneRule().weak(space, fitness.learned())


def test_fitness_is_weak_by_how_far_it_fell() -> None:
    space = SearchSpace((NAMES,), (False,), "multi", "sparse")
    fitness = Fitness(space)
    with torch.no_grad():
        fitness.alpha.add_(torch.tensor([-1.9, -2.1, 5.0]))
    assert fitness.learned()[0, NAMES[2]] == pytest.approx(5.0)
    assert PruneRule().weak(space, fitness.learned()) == [(0, NAMES[1])]


@pytest.mark.parametrize("pair", [(NAMES[:1], NAMES[1:2]), (NAMES[:1], ()), ((), NAMES[2:])])
def test_single_branch_u_is_the_share_of_the_two_softmax_probabilities(pair: Pair) -> None:
    space = SearchSpace((NAMES,), (False,), "single")
    fitness = alphas(0.3, -1.2, 0.7)
    logits = dict(zip(NAMES, (0.3, -1.2, 0.7), strict=True))
    first, second = (np.exp(logits[c[0]] if c else 0.0) for c in pair)
    assert first_weights(fitness, space, [pair]).item() == pytest.approx(first / (first + second), abs=1e-12)


def test_a_certain_single_branch_fitness_still_gives_two_different_options() -> None:
    space = SearchSpace((NAMES[:1],), (False,), "single")
    fitness = Fitness(space)
    with torch.no_grad():
        fitness.alpha.fill_(300.0)
    assert draw_pairs(space, fitness, np.random.default_rng(0)) == ((NAMES[:1], ()),)
