"""DARTS against a mixture written by hand: forward value, both gradients in float64, what moves and what does not."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.cost.table import CostTable
from evospace.data.splits import Batch
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.choice_block import ChoiceBlock, route_of
from evospace.supernet.fitness import Fitness
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import initialised_supernet
from evospace.training.optimisers import sgd, started_adam
from evospace.training.rules import darts
from evospace.training.rules.darts import DartsRule, second_order
from evospace.training.rules.rule import Rule
from evospace.training.snapshot import Snapshot, TrainState, take
from evospace.training.supernet_trainer import RoundTrainer
from tests.training.test_supernet_trainer import split, trainer

SKELETON = make_skeleton(None, image_size=8, image_channels=1, activation="swish")
"""Smooth: a finite difference across the kink of a ReLU says nothing about the gradient on one side of it."""
NAMES = ("mbconv_k3_e1", "conv_k3_e1")
SPACE = SearchSpace.over(SKELETON.blocks(), NAMES, "single")
TABLE = cost_tables(SKELETON, SPACE, 3)["macs"]
BUDGET = Budget.parse("macs=250K..270K")
LR = 0.3
"""Large, so that the second order is most of the gradient."""


def exact_state(space: SearchSpace = SPACE) -> TrainState:
    """Float64, alphas spread out, operations that differ and a head that does not begin at almost nothing."""
    supernet = initialised_supernet(lambda: SuperNet(SKELETON, space, 3), 0, 1, "cpu", aligned=False).double()
    fitness = Fitness(space, skips=True).double()
    with torch.no_grad():
        fitness.alpha.copy_(torch.linspace(-1.0, 1.0, len(fitness.alpha)).sin())
        supernet.get_parameter("head.4.weight").mul_(10.0)
    return TrainState(
        supernet=supernet,
        fitness=fitness,
        space=space,
        weight_optimiser=sgd(supernet, lr=0.1),
        fitness_optimiser=started_adam(fitness.alpha, lr=0.05, betas=(0.0, 0.999)),
    )


def batch(count: int) -> Batch:
    images, labels = next(iter(split(count).epoch(8)))
    return images.double(), labels


HELD_OUT, TRAIN = batch(16), batch(32)


class ByHand(nn.Module):
    """The mixture's logits without routes: per block p_1 (op_1(x) + x) / 2 + ... + p_skip x, or p_1 op_1(x) + ..."""

    def __init__(self, supernet: SuperNet) -> None:
        super().__init__()
        self.supernet = supernet

    def forward(self, alpha: Tensor, images: Tensor) -> Tensor:
        x = self.supernet.stem(images)
        skips = iter(alpha[len(NAMES) * len(SPACE.required) :])  # behind the operations' of all blocks
        for b, (block, needed) in enumerate(zip(self.supernet.blocks, SPACE.required, strict=True)):
            assert isinstance(block, ChoiceBlock)
            own = alpha[b * len(NAMES) : (b + 1) * len(NAMES)]
            if needed:
                p = own.exp() / own.exp().sum()
                x = sum(p[i] * block.ops[name](x) for i, name in enumerate(NAMES))
            else:
                skip = next(skips).exp()
                total = own.exp().sum() + skip
                parts = sum(own[i].exp() / total * (block.ops[name](x) + x) / 2 for i, name in enumerate(NAMES))
                x = parts + skip / total * x
        logits: Tensor = self.supernet.head(x)
        return logits


def loss_by_hand(supernet: SuperNet, alpha: Tensor, data: Batch) -> Tensor:
    return functional.cross_entropy(ByHand(supernet.train())(alpha, data[0]), data[1])


def penalty_by_hand(alpha: Tensor) -> Tensor:
    """0.9 ln(E / target)^2."""
    expected = torch.tensor(float(TABLE.fixed), dtype=alpha.dtype)
    skips = iter(alpha[len(NAMES) * len(SPACE.required) :])
    for b, needed in enumerate(SPACE.required):
        weights = alpha[b * len(NAMES) : (b + 1) * len(NAMES)].exp()
        costs = torch.tensor([TABLE.ops[b][name] for name in NAMES], dtype=alpha.dtype)
        expected = expected + (weights * costs).sum() / (weights.sum() + (0.0 if needed else next(skips).exp()))
    return 0.9 * torch.log(expected / BUDGET.target) ** 2


def unrolled_loss(supernet: SuperNet, alpha: Tensor) -> Tensor:
    """Held-out loss after one plain gradient step on the training batch."""
    ahead = copy.deepcopy(supernet)
    gradients = torch.autograd.grad(loss_by_hand(ahead, alpha, TRAIN), list(ahead.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(ahead.parameters(), gradients, strict=True):
            weight.sub_(LR * gradient)
    return loss_by_hand(ahead, alpha, HELD_OUT)


def differences(loss: Callable[[Tensor], Tensor], alpha: Tensor, step: float = 1e-4) -> Tensor:
    """Central finite differences, one alpha at a time."""
    units = torch.eye(len(alpha), dtype=alpha.dtype) * step
    return torch.stack([(loss(alpha + unit) - loss(alpha - unit)).detach() / (2 * step) for unit in units])


def exact_unrolled_gradient(module: nn.Module, alpha: Tensor, seed: int) -> Tensor:
    """Through the training step by a second backward pass; `module` gives logits of (alpha, images)."""
    weights = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}
    alpha = alpha.detach().requires_grad_()

    def loss(at: dict[str, Tensor], data: Batch) -> Tensor:
        return functional.cross_entropy(functional_call(module, at, (alpha, data[0])), data[1])

    torch.manual_seed(seed)
    gradients = torch.autograd.grad(loss(weights, TRAIN), list(weights.values()), create_graph=True)
    ahead = {name: p - LR * g for (name, p), g in zip(weights.items(), gradients, strict=True)}
    return torch.autograd.grad(loss(ahead, HELD_OUT), alpha)[0]


def gradient_of_a_step(state: TrainState, order: Literal[1, 2]) -> Tensor:
    rule = DartsRule(table=TABLE, budget=BUDGET, order=order)
    rule.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(0), LR)
    assert state.fitness.alpha.grad is not None
    return state.fitness.alpha.grad


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_the_mixture_is_the_sum_over_all_candidates_and_the_skip_by_their_shares() -> None:
    state = exact_state()
    route = DartsRule(table=TABLE, budget=BUDGET).route(state, np.random.default_rng(0), 0)
    for terms, needed in zip(route, SPACE.required, strict=True):
        assert [term.ops for term in terms] == [(name,) for name in NAMES] + ([] if needed else [()])
    logits = state.supernet.train()(TRAIN[0], route)
    torch.testing.assert_close(logits, ByHand(state.supernet)(state.fitness.alpha, TRAIN[0]), rtol=1e-12, atol=1e-12)


def test_a_weight_steps_route_gives_alpha_no_gradient_and_every_weight_one() -> None:
    state = exact_state()
    route = DartsRule(table=TABLE, budget=BUDGET).route(state, np.random.default_rng(0), 0)
    assert not any(term.weight is not None and term.weight.requires_grad for terms in route for term in terms)
    torch.autograd.backward(functional.cross_entropy(state.supernet(TRAIN[0], route), TRAIN[1]))
    assert state.fitness.alpha.grad is None
    assert all(p.grad is not None for p in state.supernet.parameters())


def test_the_first_order_gradient_is_that_of_the_held_out_loss_and_the_penalty() -> None:
    state = exact_state()
    alpha, supernet = state.fitness.alpha.detach().clone(), copy.deepcopy(state.supernet)
    by_hand = differences(lambda a: loss_by_hand(supernet, a, HELD_OUT) + penalty_by_hand(a), alpha)
    without_penalty = differences(lambda a: loss_by_hand(supernet, a, HELD_OUT), alpha)
    gradient = gradient_of_a_step(state, 1)
    assert relative(gradient, by_hand) < 1e-6
    assert relative(without_penalty, by_hand) > 0.1


def test_the_second_order_gradient_is_that_of_the_unrolled_loss_and_the_penalty() -> None:
    state = exact_state()
    alpha, supernet = state.fitness.alpha.detach().clone(), copy.deepcopy(state.supernet)
    by_hand = differences(lambda a: unrolled_loss(supernet, a) + penalty_by_hand(a), alpha)
    gradient = gradient_of_a_step(state, 2)
    assert relative(gradient, by_hand) < 1e-3
    assert relative(gradient_of_a_step(exact_state(), 1), by_hand) > 0.1


def test_the_second_order_gradient_nears_the_exact_one_as_the_radius_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    state = exact_state()
    exact = exact_unrolled_gradient(ByHand(state.supernet), state.fitness.alpha, seed=0)
    assert relative(second_order(state, HELD_OUT, TRAIN, LR, seed=0)[1], exact) < 5e-3
    monkeypatch.setattr(darts, "RADIUS", 1e-4)
    assert relative(second_order(state, HELD_OUT, TRAIN, LR, seed=0)[1], exact) < 1e-6


def test_the_radius_is_the_papers() -> None:
    """Equations 7 and 8 written out, with epsilon = 0.01 / norm of v."""
    state = exact_state()
    net, alpha = copy.deepcopy(state.supernet), state.fitness.alpha.detach().clone().requires_grad_()
    start = [p.detach().clone() for p in net.parameters()]

    def move(by: list[Tensor], times: float) -> None:
        with torch.no_grad():
            for p, own, part in zip(net.parameters(), start, by, strict=True):
                p.copy_(own + times * part)

    move(list(torch.autograd.grad(loss_by_hand(net, alpha, TRAIN), list(net.parameters()))), -LR)
    direct, *v = torch.autograd.grad(loss_by_hand(net, alpha, HELD_OUT), [alpha, *net.parameters()])
    epsilon = 0.01 / float(torch.cat([part.flatten() for part in v]).norm())
    sides = []
    for sign in (1, -1):
        move(v, sign * epsilon)
        sides.append(torch.autograd.grad(loss_by_hand(net, alpha, TRAIN), alpha)[0])
    by_hand = direct - LR * (sides[0] - sides[1]) / (2 * epsilon)
    assert relative(second_order(state, HELD_OUT, TRAIN, LR, seed=0)[1], by_hand) < 1e-9


def with_dropout() -> TrainState:
    state = exact_state()
    for block in state.supernet.blocks:
        assert isinstance(block, ChoiceBlock)
        block.ops[NAMES[0]] = nn.Sequential(block.ops[NAMES[0]], nn.Dropout(0.5))
    return state


def test_operations_that_draw_for_themselves_draw_alike_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    state = with_dropout()
    exact = exact_unrolled_gradient(ByHand(state.supernet.train()), state.fitness.alpha, seed=5)
    monkeypatch.setattr(darts, "RADIUS", 1e-4)
    assert relative(second_order(state, HELD_OUT, TRAIN, LR, seed=5)[1], exact) < 1e-6


def test_operations_that_draw_for_themselves_draw_by_the_steps_generator() -> None:
    assert torch.equal(gradient_of_a_step(with_dropout(), 2), gradient_of_a_step(with_dropout(), 2))


@pytest.mark.parametrize("order", [1, 2])
def test_a_fitness_step_moves_alpha_and_no_weight(order: Literal[1, 2]) -> None:
    state = exact_state()
    before = {k: v.clone() for k, v in state.supernet.state_dict().items()}
    momentum = [state.weight_optimiser.state[p]["momentum_buffer"].clone() for p in state.supernet.parameters()]
    alpha = state.fitness.alpha.detach().clone()
    gradient = gradient_of_a_step(state, order)
    assert torch.equal((state.fitness.alpha.detach() - alpha).sign(), -gradient.sign())
    assert all(torch.equal(v, state.supernet.state_dict()[k]) for k, v in before.items())
    assert all(p.requires_grad and p.grad is None for p in state.supernet.parameters())
    for p, value in zip(state.supernet.parameters(), momentum, strict=True):
        assert torch.equal(state.weight_optimiser.state[p]["momentum_buffer"], value)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("bad", ["held-out", "train"])
def test_a_step_that_is_not_finite_is_left_out(order: Literal[1, 2], bad: str) -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    nan = (TRAIN[0] * float("nan"), TRAIN[1])
    rule = DartsRule(table=TABLE, budget=BUDGET, order=order)
    held_out, train = (nan, TRAIN) if bad == "held-out" else (HELD_OUT, nan)
    rule.fitness_step(state, held_out, train, np.random.default_rng(0), LR)
    left_out = bad == "held-out" or order == 2
    assert torch.equal(state.fitness.alpha, alpha) == left_out
    assert state.fitness_optimiser.state[state.fitness.alpha]["step"].item() == (0 if left_out else 1)


@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_that_is_not_finite_is_left_out_though_its_gradient_is(order: Literal[1, 2]) -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    with torch.no_grad():
        state.supernet.get_parameter("head.4.bias")[0] = -float("inf")
    DartsRule(table=TABLE, budget=BUDGET, order=order).fitness_step(
        state, HELD_OUT, TRAIN, np.random.default_rng(0), LR
    )
    assert torch.equal(state.fitness.alpha, alpha)


@pytest.mark.parametrize("order", [1, 2])
def test_a_gradient_that_is_not_finite_is_left_out_though_the_loss_is(order: Literal[1, 2]) -> None:
    state = exact_state()
    alpha = state.fitness.alpha.detach().clone()
    state.fitness.alpha.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    DartsRule(table=TABLE, budget=BUDGET, order=order).fitness_step(
        state, HELD_OUT, TRAIN, np.random.default_rng(0), LR
    )
    assert torch.equal(state.fitness.alpha, alpha)


def expected(state: TrainState) -> float:
    return TABLE.expected(state.space, state.fitness.probabilities(state.space))


@pytest.mark.parametrize("share", [0.9, 1.1])
@pytest.mark.parametrize("order", [1, 2])
def test_where_every_network_is_as_good_alpha_goes_to_the_budget(order: Literal[1, 2], share: float) -> None:
    state = exact_state()
    with torch.no_grad():
        state.supernet.get_parameter("head.4.weight").zero_()
    target = round(share * expected(state))
    rule = DartsRule(table=TABLE, budget=Budget(metric="macs", low=target, high=target), order=order)
    for _ in range(20):
        rule.fitness_step(state, HELD_OUT, TRAIN, np.random.default_rng(0), 0.0)
    assert expected(state) == pytest.approx(target, rel=0.02)


ONE_CHOICE = SPACE.with_candidates(
    (NAMES if b == max(i for i, needed in enumerate(SPACE.required) if needed) else NAMES[: int(needed)])
    for b, needed in enumerate(SPACE.required)
)
"""Only the last reduction block has one."""
FREE = CostTable(metric="macs", fixed=100, ops=tuple(dict.fromkeys(names, 0) for names in ONE_CHOICE.candidates))
FREE_BUDGET = Budget(metric="macs", low=100, high=100)


def taught(name: str) -> TrainState:
    """Weights that fit the held-out batch where the one choice is `name`; the other operation's are untrained."""
    state = exact_state(ONE_CHOICE)
    route = route_of(Architecture.of((name,) if len(names) == 2 else names for names in ONE_CHOICE.candidates))
    for _ in range(40):
        state.weight_optimiser.zero_grad()
        torch.autograd.backward(functional.cross_entropy(state.supernet.train()(HELD_OUT[0], route), HELD_OUT[1]))
        state.weight_optimiser.step()
    with torch.no_grad():
        state.fitness.alpha.zero_()
    return state


def lead(state: TrainState, name: str) -> float:
    """Alpha of `name` less alpha of the other."""
    values = next(dict(zip(NAMES, v, strict=True)) for v in state.fitness.values(ONE_CHOICE) if len(v) == 2)
    return float(2 * values[name] - sum(values.values()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [1, 2])
def test_the_operation_that_is_plainly_better_gains(order: Literal[1, 2], name: str) -> None:
    state = taught(name)
    rule = DartsRule(table=FREE, budget=FREE_BUDGET, order=order)
    for step in range(10):
        rule.fitness_step(state, HELD_OUT, HELD_OUT, np.random.default_rng(step), 0.01)
    assert lead(state, name) > 0.3


def rounds(rule: Rule) -> RoundTrainer:
    """The trainer of `test_supernet_trainer` on this space, in float32."""
    return replace(
        trainer(),
        space=SPACE,
        table=TABLE,
        rule=rule,
        make=lambda: initialised_supernet(lambda: SuperNet(SKELETON, SPACE, 3), 0, 1, "cpu"),
    )


def goes_on_alike(rule: Rule) -> None:
    """A training twice, and from copies in its midst: always the same bits."""
    copies: list[tuple[Snapshot, Snapshot | None]] = []
    work = rounds(rule)
    end = take(replace(work, on_step=lambda p: copies.append((take(p.state), p.good))).run())
    assert end.tensors["alpha"].abs().max() > 0
    assert len(copies) == 8
    for now, good in ((None, None), copies[2], copies[5]):
        again = take(work.run(now, good))
        assert again.meta == end.meta
        assert again.tensors.keys() == end.tensors.keys()
        assert all(torch.equal(value, end.tensors[key]) for key, value in again.tensors.items())


@pytest.mark.parametrize("order", [1, 2])
def test_training_is_repeatable_and_goes_on_from_a_copy_to_the_same_bits(order: Literal[1, 2]) -> None:
    goes_on_alike(DartsRule(table=TABLE, budget=BUDGET, order=order))


def test_alpha_moves_after_every_weight_step_once_a_quarter_is_over() -> None:
    state = rounds(DartsRule(table=TABLE, budget=BUDGET)).run()
    assert state.fitness_optimiser.state[state.fitness.alpha]["step"].item() == 6
