"""ProxylessNAS' two-path gradient against one derived by hand in float64, its rescaling, what moves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.supernet.choice_block import ChoiceBlock
from evospace.supernet.fitness import Fitness, Pair
from evospace.supernet.softmax import block_logits, block_options, block_shares
from evospace.supernet.supernet import SuperNet
from evospace.training.rules.proxyless import ProxylessRule, draw_paths, rescale
from tests.training.test_darts import (
    BUDGET,
    FREE,
    FREE_BUDGET,
    HELD_OUT,
    NAMES,
    SPACE,
    TABLE,
    TRAIN,
    exact_state,
    expected,
    goes_on_alike,
    lead,
    rounds,
    taught,
)
from tests.training.test_supernet_trainer import trainer

RULE = ProxylessRule(table=TABLE, budget=BUDGET)


def gated_loss(supernet: SuperNet, pairs: tuple[Pair, ...], gates: Tensor) -> Tensor:
    """Cross-entropy of the network whose block outputs are g_0 o_0 + g_1 o_1; gates ``[blocks, 2]``."""
    x = supernet.train().stem(HELD_OUT[0])
    for block, pair, g, needed in zip(supernet.blocks, pairs, gates, SPACE.required, strict=True):
        assert isinstance(block, ChoiceBlock)
        paths = [block.ops[option[0]](x) if option else x for option in pair]
        if not needed:
            paths = [(path + x) / 2 for path in paths]
        x = g[0] * paths[0] + g[1] * paths[1]
    return functional.cross_entropy(supernet.head(x), HELD_OUT[1])


def test_the_gradient_is_the_papers_over_the_two_paths() -> None:
    state = exact_state()
    pairs = draw_paths(SPACE, state.fitness, np.random.default_rng(2))
    assert any(() in pair for pair in pairs)
    assert any(() not in pair for pair in pairs)
    gates = torch.tensor([[1.0, 0.0]] * len(pairs), dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(gated_loss(state.supernet, pairs, gates), gates)[0]
    slope_of_penalty = 2 * 0.9 * math.log(expected(state) / BUDGET.target) / expected(state)
    alphas = [dict(zip(NAMES, v, strict=True)) for v in state.fitness.values(SPACE)]
    by_hand = np.zeros(len(state.fitness.alpha))
    for b, pair in enumerate(pairs):
        weights = [np.exp(alphas[b][option[0]] if option else 0.0) for option in pair]
        p = [weight / sum(weights) for weight in weights]
        costs = [TABLE.ops[b][option[0]] if option else 0 for option in pair]
        dg = [slopes[b, j].item() + slope_of_penalty * costs[j] for j in range(2)]
        for i, option in enumerate(pair):
            own = state.fitness.index[b, option[0]] if option else state.fitness.skip[b]
            by_hand[own] = sum(dg[j] * p[j] * ((i == j) - p[i]) for j in range(2))
    RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(2), 0.1)
    assert state.fitness.alpha.grad is not None
    np.testing.assert_allclose(state.fitness.alpha.grad.numpy(), by_hand, rtol=1e-9, atol=1e-15)


def test_only_the_two_sampled_probabilities_of_a_block_move() -> None:
    state = exact_state()
    for step in range(5):
        pairs = draw_paths(SPACE, state.fitness, np.random.default_rng(step))
        before = [share.detach().clone() for share in block_shares(state.fitness, SPACE)]
        RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(step), 0.1)
        after = block_shares(state.fitness, SPACE)
        for options, pair, old, new in zip(block_options(SPACE), pairs, before, after, strict=True):
            for i, option in enumerate(options):
                change = abs(new[i].item() - old[i].item())
                assert change > 1e-4 if option in pair else change < 1e-12


@pytest.mark.parametrize("pair", [(NAMES[:1], NAMES[1:]), (NAMES[:1], ()), ((), NAMES[1:])])
@pytest.mark.parametrize("required", [False, True])
def test_rescaling_keeps_the_pairs_mass_and_the_ratio_that_the_step_gave_it(pair: Pair, required: bool) -> None:
    if required and () in pair:
        return
    names = (*NAMES, "mbconv_k5_e1")
    space = SearchSpace((names, names[:1]), (required, True), "single")
    fitness = Fitness(space, skips=True).double()
    with torch.no_grad():
        fitness.alpha.copy_(torch.tensor([0.4, -0.3, 1.1, 0.6, *([] if required else [0.2])]))
        before = block_logits(fitness, space)
        old = block_shares(fitness, space)[0]
        for option, by in zip(pair, (0.25, -0.5), strict=True):
            fitness.alpha[fitness.index[0, option[0]] if option else fitness.skip[0]] += by
        moved = block_shares(fitness, space)[0]
        rescale(fitness, space, (pair, (names[:1],)), before)
        new = block_shares(fitness, space)[0]
    options = block_options(space)[0]
    first, second = (options.index(option) for option in pair)
    assert (new[first] / new[second]).item() == pytest.approx((moved[first] / moved[second]).item(), rel=1e-12)
    assert (new[first] + new[second]).item() == pytest.approx((old[first] + old[second]).item(), rel=1e-12)
    for i in set(range(len(options))) - {first, second}:
        assert new[i].item() == pytest.approx(old[i].item(), rel=1e-12)
    assert fitness.probabilities(space)[0] == pytest.approx(new[: len(names)].numpy(), rel=1e-12)
    assert fitness.alpha[3].item() == pytest.approx(0.6, abs=1e-7)


def test_of_two_paths_the_open_one_is_drawn_by_their_shares() -> None:
    space = SearchSpace(((*NAMES, "mbconv_k5_e1"),), (True,), "single")
    fitness = Fitness(space).double()
    with torch.no_grad():
        fitness.alpha.copy_(torch.tensor([0.1, 0.3, 0.6]).log())
    rng = np.random.default_rng(0)
    pairs = [draw_paths(space, fitness, rng)[0] for _ in range(4000)]
    for a, b, share in ((0, 1, 0.25), (0, 2, 1 / 7), (1, 2, 1 / 3)):
        names = space.candidates[0]
        both = [pair for pair in pairs if set(pair) == {(names[a],), (names[b],)}]
        assert np.mean([pair[0] == (names[a],) for pair in both]) == pytest.approx(share, abs=0.04)
        p = (0.1, 0.3, 0.6)
        chance = p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b]))
        assert len(both) / len(pairs) == pytest.approx(chance, abs=0.03)


def test_a_weight_step_trains_one_path_drawn_by_its_share() -> None:
    state, rng = exact_state(), np.random.default_rng(0)
    routes = [RULE.route(state, rng, step) for step in range(600)]
    drawn = [Architecture.of(terms[0].ops for terms in route) for route in routes]
    assert all(len(terms) == 1 and terms[0].weight is None for route in routes for terms in route)
    assert all(architecture in SPACE for architecture in drawn)
    for b, block in enumerate(state.fitness.probabilities(SPACE)):
        for name, p in zip(NAMES, block, strict=True):
            seen = np.mean([architecture.blocks[b] == (name,) for architecture in drawn])
            assert seen == pytest.approx(p, abs=0.08)


def test_a_fitness_step_moves_no_weight() -> None:
    state = exact_state()
    before = {k: v.clone() for k, v in state.supernet.state_dict().items()}
    RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(0), 0.1)
    assert all(torch.equal(v, state.supernet.state_dict()[k]) for k, v in before.items())
    assert all(p.requires_grad and p.grad is None for p in state.supernet.parameters())


def test_a_step_that_is_not_finite_is_left_out() -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    RULE.fitness_step(state, (HELD_OUT[0] * float("nan"), HELD_OUT[1]), TRAIN, np.random.default_rng(0), 0.1)
    assert torch.equal(state.fitness.alpha, alpha)
    assert state.fitness_optimiser.state[state.fitness.alpha]["step"].item() == 0


def test_a_loss_that_is_not_finite_is_left_out_though_its_gradient_is() -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    with torch.no_grad():
        state.supernet.get_parameter("head.4.bias")[0] = -float("inf")
    RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(0), 0.1)
    assert torch.equal(state.fitness.alpha, alpha)


def test_a_gradient_that_is_not_finite_is_left_out_though_the_loss_is() -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    state.fitness.alpha.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(0), 0.1)
    assert torch.equal(state.fitness.alpha, alpha)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_where_every_network_is_as_good_alpha_goes_to_the_budget(share: float) -> None:
    state, rng = exact_state(), np.random.default_rng(0)
    with torch.no_grad():
        state.supernet.get_parameter("head.4.weight").zero_()
    target = round(share * expected(state))
    rule = ProxylessRule(table=TABLE, budget=Budget(metric="macs", low=target, high=target))
    for _ in range(40):
        rule.fitness_step(state, HELD_OUT, TRAIN, rng, 0.1)
    assert expected(state) == pytest.approx(target, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_the_operation_that_is_plainly_better_gains(name: str) -> None:
    state, rng = taught(name), np.random.default_rng(0)
    rule = ProxylessRule(table=FREE, budget=FREE_BUDGET)
    for _ in range(20):
        rule.fitness_step(state, HELD_OUT, TRAIN, rng, 0.1)
    assert lead(state, name) > 0.3


def test_training_is_repeatable_and_goes_on_from_a_copy_to_the_same_bits() -> None:
    goes_on_alike(RULE)


def test_alpha_moves_after_every_second_weight_step_once_it_may() -> None:
    state = rounds(RULE).run()
    assert state.fitness_optimiser.state[state.fitness.alpha]["step"].item() == 3


def test_alpha_waits_until_the_weights_know_something() -> None:
    """A quarter of the steps: 2 of 8, then a fitness step after every second."""
    work = replace(trainer(), rule=RULE)
    assert work.settings.epochs * work.steps_per_epoch == 8
    assert [work._fitness_steps(steps) for steps in range(9)] == [0, 0, 0, 0, 1, 1, 2, 2, 3]


def test_a_step_moves_the_odds_of_operation_and_skip_as_far_as_those_of_two_operations() -> None:
    """Adam's steps are of one size: where the skip's logit stood still, depth would be learned at half the rate."""
    moved: dict[bool, set[float]] = {True: set(), False: set()}
    for seed in range(6):
        state = exact_state()
        pairs = draw_paths(SPACE, state.fitness, np.random.default_rng(seed))
        before = block_logits(state.fitness, SPACE)
        RULE.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(seed), 0.1)
        for options, pair, old, new in zip(
            block_options(SPACE), pairs, before, block_logits(state.fitness, SPACE), strict=True
        ):
            i, j = (options.index(option) for option in pair)
            moved[() in pair].add(round(abs(new[i] - new[j] - old[i] + old[j]).item(), 4))
    assert moved[True] == moved[False] == {0.1}
