"""A tiny supernet on random images: determinism, pruning inside the budget, the collapse guard."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.cost.table import CostTable
from evospace.data.policy import Policy
from evospace.data.splits import Batch, InMemorySplit
from evospace.errors import CollapseError, DataError
from evospace.sampling.limits import least_cost
from evospace.sampling.reachable import is_reachable
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.choice_block import Route
from evospace.supernet.fitness import PruneRule, draw_pairs
from evospace.supernet.supernet import SuperNet
from evospace.training import supernet_trainer
from evospace.training.initial_weights import initialised_supernet
from evospace.training.optimisers import MOMENTUM, WEIGHT_DECAY
from evospace.training.rules.nse import NseRule, fitness_step
from evospace.training.rules.path_dropout import PathDropoutRule
from evospace.training.rules.uniform import UniformRule
from evospace.training.snapshot import Snapshot, TrainState, restore, take
from evospace.training.supernet_trainer import (
    EpochReport,
    Progressed,
    RoundTrainer,
    TrainSettings,
    collapsed,
)

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
SPACE = SearchSpace.over(SKELETON.blocks(), ("mbconv_k3_e1", "mbconv_k3_e3", "conv_k3_e1"))
TABLE = cost_tables(SKELETON, SPACE, 3)["macs"]
BUDGET = Budget.parse("macs=300K..400K")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def split(count: int) -> InMemorySplit:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return InMemorySplit(images, torch.arange(count) % 3, mean=(0.5,), std=(0.3,))


def trainer(**changes: Any) -> RoundTrainer:
    gates = {name: changes.pop(name) for name in ("train_gates", "gates_window", "fitness_pairs") if name in changes}
    weak = changes.pop("rule", PruneRule())
    settings = TrainSettings(**({"epochs": 2, "batch_size": 8, "lr": 0.05} | changes))
    return RoundTrainer(
        settings=settings,
        make=lambda: initialised_supernet(lambda: SuperNet(SKELETON, SPACE, 3), 0, 1, "cpu"),
        space=SPACE,
        train=split(32),
        fitness_split=split(16),
        table=TABLE,
        rule=NseRule(table=TABLE, budget=BUDGET, weak=weak, **gates),
        classes=3,
        seed=0,
        round=1,
    )


def start(work: RoundTrainer) -> TrainState:
    return work.start()


def cost_of(route: Route) -> int:
    return TABLE.cost(Architecture.of(terms[0].ops for terms in route))


def test_in_budget_gates_train_only_what_is_near_the_budget() -> None:
    uniform, near = trainer(train_gates="uniform"), trainer(train_gates="in-budget", gates_window=(0.8, 1.2))
    state, rng = uniform.start(), np.random.default_rng(0)
    costs = [cost_of(near.rule.route(state, rng, 0)) for _ in range(40)]
    assert all(0.8 * BUDGET.target <= cost <= 1.2 * BUDGET.target for cost in costs)
    assert any(cost_of(uniform.rule.route(state, rng, 0)) > 1.2 * BUDGET.target for _ in range(40))


def test_in_budget_pairs_are_two_architectures_near_the_budget() -> None:
    rule = trainer(gates_window=(0.8, 1.2)).rule
    assert isinstance(rule, NseRule)
    state, rng = trainer().start(), np.random.default_rng(0)
    for _ in range(40):
        pairs = rule.pairs(state, rng)
        assert all(len(set(pair)) == len(pair) for pair in pairs)  # none where the two agree
        for side in (0, -1):
            cost = TABLE.cost(Architecture.of(pair[side] for pair in pairs))
            assert 0.8 * BUDGET.target <= cost <= 1.2 * BUDGET.target


def test_in_budget_pairs_follow_the_fitness() -> None:
    rule = trainer().rule
    assert isinstance(rule, NseRule)
    state, rng = trainer().start(), np.random.default_rng(0)
    with torch.no_grad():
        for (_, name), i in state.fitness.index.items():
            state.fitness.alpha[i] = 3.0 if name == "mbconv_k3_e1" else -3.0
    subsets = [subset for _ in range(40) for pair in rule.pairs(state, rng) for subset in pair]
    names = [name for subset in subsets for name in subset]
    assert names.count("mbconv_k3_e1") > len(names) / 2


def test_unconditional_pairs_differ_in_every_block() -> None:
    rule = trainer(fitness_pairs="unconditional").rule
    assert isinstance(rule, NseRule)
    state, rng = trainer().start(), np.random.default_rng(0)
    pairs = [rule.pairs(state, rng) for _ in range(40)]
    assert all(len(pair) == 2 for blocks in pairs for pair in blocks)
    costs = [TABLE.cost(Architecture.of(pair[0] for pair in blocks)) for blocks in pairs]
    assert max(costs) > 1.5 * BUDGET.target


def trained(**changes: Any) -> TrainState:
    return trainer(**changes).run()


@pytest.mark.parametrize("gates", ["uniform", "fitness", "in-budget"])
def test_training_is_repeatable_bit_for_bit_and_moves_weights_and_fitness(gates: str) -> None:
    first, second = trained(train_gates=gates), trained(train_gates=gates)
    for key, value in first.supernet.state_dict().items():
        assert torch.equal(value, second.supernet.state_dict()[key]), key
    assert torch.equal(first.fitness.alpha, second.fitness.alpha)
    assert first.fitness.alpha.detach().abs().max() > 0


def test_a_fitness_step_moves_no_weight() -> None:
    state = start(trainer())
    before = {k: v.clone() for k, v in state.supernet.state_dict().items()}
    batch = next(iter(split(16).epoch(8)))
    fitness_step(state, batch, draw_pairs(state.space, state.fitness, np.random.default_rng(0)), TABLE, BUDGET)
    assert all(torch.equal(v, state.supernet.state_dict()[k]) for k, v in before.items())
    assert all(p.requires_grad and p.grad is None for p in state.supernet.parameters())


def test_a_weight_step_is_no_longer_than_the_clipped_gradient_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supernet_trainer, "CLIP", 1e-3)
    work = trainer(epochs=1, batch_size=32, lr=0.5)
    before = [p.detach().clone() for p in work.start().supernet.parameters()]
    after = work.run().supernet.parameters()
    moved = float(
        torch.stack([(a.detach() - b).square().sum() for a, b in zip(after, before, strict=True)]).sum().sqrt()
    )
    norm = float(torch.stack([b.square().sum() for b in before]).sum().sqrt())
    longest = 0.5 * (1 + MOMENTUM) * (1e-3 + WEIGHT_DECAY * norm)  # Nesterov's first and only step
    assert 0 < moved <= longest


def test_pruning_keeps_the_budget_in_reach_and_the_locked() -> None:
    locked = frozenset({(0, "mbconv_k3_e3")})
    work = trainer(rule=PruneRule(threshold=0.0, locked=locked))
    state = start(work)
    with torch.no_grad():
        state.fitness.alpha.fill_(-1.0)
    work.rule.prune(state, 0)
    assert state.pruned
    assert is_reachable(state.space, TABLE, BUDGET)
    assert "mbconv_k3_e3" in state.space.candidates[0]
    assert all(names for names, needed in zip(state.space.candidates, SPACE.required, strict=True) if needed)
    held = {id(p) for g in state.weight_optimiser.param_groups for p in g["params"]}
    assert held == {id(p) for p in state.supernet.parameters()}


def test_pruning_keeps_a_further_limit_in_reach() -> None:
    other = CostTable(
        metric="params", fixed=0, ops=tuple({n: 1 + (i > 0) for i, n in enumerate(c)} for c in SPACE.candidates)
    )
    least = int(least_cost(SPACE, TABLE, BUDGET, other))
    for limits in ((), ((other, least),)):
        work = trainer(rule=PruneRule(threshold=0.0))
        state = start(work)
        with torch.no_grad():  # the first of each block, which is cheapest by the other cost, is weakest
            state.fitness.alpha.copy_(-2.0 + 0.01 * torch.arange(state.fitness.alpha.numel()))
        assert isinstance(work.rule, NseRule)
        replace(work.rule, limits=limits).prune(state, 0)
        assert state.pruned
        assert (least_cost(state.space, TABLE, BUDGET, other) <= least) == bool(limits)


def test_collapse_is_told_from_progress_and_ends_with_an_error() -> None:
    def report(loss: float, accuracy: float) -> EpochReport:
        return EpochReport(epoch=1, epochs=2, loss=loss, accuracy=accuracy, expected_cost=1.0, active=1)

    assert collapsed(report(float("nan"), 0.9), 0.0, 0.1, 10)
    assert collapsed(report(1.0, 0.3), 0.7, 0.1, 100)
    assert not collapsed(report(1.0, 0.3), 0.7, 0.1, 99)  # so few images tell nothing
    assert not collapsed(report(1.0, 0.06), 0.15, 0.1, 100)
    assert not collapsed(report(1.0, 0.6), 0.7, 0.1, 100)
    with pytest.raises(CollapseError, match="after 3 roll-backs"):
        trained(lr=1e30)


def test_an_accuracy_that_falls_is_no_collapse_where_paths_are_dropped_more_and_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def epoch(self: RoundTrainer, progressed: Progressed) -> EpochReport:
        n = progressed.state.position.epoch + 1
        return EpochReport(epoch=n, epochs=2, loss=1.0, accuracy=(0.9, 0.2)[n - 1], expected_cost=1.0, active=1)

    monkeypatch.setattr(RoundTrainer, "_epoch", epoch)
    monkeypatch.setattr(supernet_trainer, "TELLING", 1)
    assert replace(trainer(), rule=PathDropoutRule(steps=8)).run().position.epoch == 2
    with pytest.raises(CollapseError):
        replace(trainer(), rule=UniformRule()).run()


class FailsOnce:
    """A split whose second epoch holds images that are not numbers; every later one is sound."""

    def __init__(self, sound: InMemorySplit) -> None:
        self.sound, self.epochs = sound, 0
        self.mean, self.std, self.crop_pct = sound.mean, sound.std, sound.crop_pct

    def __len__(self) -> int:
        return len(self.sound)

    def epoch(
        self, batch_size: int, *, seed: int | None = None, drop_last: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        self.epochs += 1
        for images, labels in self.sound.epoch(batch_size, seed=seed, drop_last=drop_last, start=start):
            yield (images * float("nan") if self.epochs == 2 else images), labels

    def subset(self, indices: Tensor | Sequence[int]) -> Self:
        return type(self)(self.sound.subset(indices))

    def without_augmentation(self) -> Self:
        return type(self)(self.sound.without_augmentation())

    def with_policy(self, policy: Policy) -> Self:
        return type(self)(self.sound.with_policy(policy))

    def normalised_by(self, mean: Sequence[float], std: Sequence[float]) -> Self:
        return type(self)(self.sound.normalised_by(mean, std))


def test_a_collapsed_epoch_is_taken_back_and_the_round_goes_on() -> None:
    failing = FailsOnce(split(32))
    reports: list[EpochReport] = []
    work = replace(trainer(), train=failing, on_epoch=reports.append)
    state = work.run()
    assert failing.epochs == 3
    assert [r.epoch for r in reports] == [1, 2]
    assert all(p.isfinite().all() for p in state.supernet.parameters())
    assert {id(p) for g in state.weight_optimiser.param_groups for p in g["params"]} == {
        id(p) for p in state.supernet.parameters()
    }


@pytest.mark.parametrize("step", [0, 3, 7])  # of 4 in an epoch: the first, and the last of each
def test_a_gradient_that_is_not_finite_touches_no_weight_and_its_epoch_is_taken_back(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, norms = nn.utils.clip_grad_norm_, list[Tensor]()

    def spoilt(parameters: list[nn.Parameter], most: float) -> Tensor:
        if len(norms) == step:
            gradient = parameters[0].grad
            assert gradient is not None
            gradient.view(-1)[0] = float("inf")
        norms.append(clip(parameters, most))
        return norms[-1]

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", spoilt)
    state = trainer().run()
    assert state.position.rollbacks == 1
    assert state.position.epoch == 2
    assert [bool(norm.isfinite()) for norm in norms].count(False) == 1
    assert all(p.isfinite().all() for p in state.supernet.parameters())


def test_a_fitness_gradient_that_is_not_finite_is_left_out_though_the_loss_is() -> None:
    state = start(trainer())
    before = state.fitness.alpha.detach().clone()
    state.fitness.alpha.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    batch = next(iter(split(16).epoch(8)))
    fitness_step(state, batch, draw_pairs(state.space, state.fitness, np.random.default_rng(0)), TABLE, BUDGET)
    assert torch.equal(state.fitness.alpha, before)


def test_training_goes_on_from_any_step_to_the_same_bits() -> None:
    rule = PruneRule(threshold=-0.02)
    copies: list[tuple[Snapshot, Snapshot | None]] = []
    whole = replace(trainer(rule=rule), on_step=lambda p: copies.append((take(p.state), p.good)))
    end = take(whole.run())
    assert end.meta["pruned"]
    for now, good in copies[::3]:
        again = take(trainer(rule=rule).run(now, good))
        assert again.meta == end.meta
        assert again.tensors.keys() == end.tensors.keys()
        assert all(torch.equal(value, end.tensors[key]) for key, value in again.tensors.items())


def test_a_copy_of_another_space_is_refused() -> None:
    copy = take(trained())
    smaller = SPACE.without([(0, "mbconv_k3_e1")])
    other = replace(trainer(), space=smaller, make=lambda: SuperNet(SKELETON, smaller, 3))
    with pytest.raises(DataError, match="does not fit"):
        restore(other.start(), copy)


def rates_of(work: RoundTrainer) -> list[float]:
    """The learning rate of every weight step that was finished."""
    seen: list[float] = []
    replace(work, on_step=lambda p: seen.append(p.state.weight_optimiser.param_groups[0]["lr"])).run()
    return seen


def rates(peak: float, warmup: int, steps: int) -> list[float]:
    """From a quarter of the peak to the peak, and down half a cosine."""
    rising = [peak * (0.25 + 0.75 * step / warmup) for step in range(warmup)]
    left = steps - warmup
    return rising + [peak * (1 + math.cos(math.pi * step / left)) / 2 for step in range(left)]


@pytest.mark.parametrize(("epochs", "warmup"), [(5, 1), (15, 2)])
def test_the_rate_rises_for_two_epochs_but_for_no_more_than_a_fifth_of_the_steps(epochs: int, warmup: int) -> None:
    """An epoch has one step."""
    work = replace(trainer(epochs=epochs, lr=0.04), rule=UniformRule(), train=split(8))
    assert rates_of(work) == pytest.approx(rates(0.04, warmup, epochs))


def test_a_collapsed_epoch_is_done_again_at_half_the_rate_and_so_are_those_after_it() -> None:
    """Three epochs of four steps, of which the first two warm up; the second epoch fails in its first step."""
    work = replace(trainer(epochs=3, lr=0.04), rule=UniformRule(), train=FailsOnce(split(32)))
    whole = rates(0.04, 2, 12)
    assert rates_of(work) == pytest.approx(whole[:4] + [rate / 2 for rate in whole[4:]])


def test_every_further_roll_back_halves_the_rate_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of the round fails three times."""
    clip, norms = nn.utils.clip_grad_norm_, list[Tensor]()

    def spoilt(parameters: list[nn.Parameter], most: float) -> Tensor:
        norms.append(clip(parameters, most))
        return norms[-1] if len(norms) > 3 else torch.tensor(float("inf"))

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", spoilt)
    work = replace(trainer(epochs=1, lr=0.04), rule=UniformRule())
    assert rates_of(work) == pytest.approx(rates(0.04 / 8, 0, 4))


def test_a_fitness_step_follows_every_second_weight_step() -> None:
    alphas = [trainer().start().fitness.alpha.detach().clone()]
    replace(trainer(), on_step=lambda p: alphas.append(p.state.fitness.alpha.detach().clone())).run()
    moved = [not torch.equal(before, after) for before, after in itertools.pairwise(alphas)]
    assert moved == [False, True] * 4


def test_alpha_follows_the_last_gradient_alone_scaled_by_the_mean_square_of_all() -> None:
    """A first moment of the usual 0.9 would go on against the first gradient, which is ten times the second."""
    state = trainer().start()
    optimiser, alpha = state.fitness_optimiser, state.fitness.alpha
    (group,) = optimiser.param_groups
    expected, square = alpha.detach().clone(), 0.0
    for step, gradient in enumerate((1.0, -0.1, 0.02), start=1):
        alpha.grad = torch.full_like(alpha, gradient)
        optimiser.step()
        square = 0.999 * square + 0.001 * gradient**2
        expected -= group["lr"] * gradient / math.sqrt(square / (1 - 0.999**step))
        torch.testing.assert_close(alpha.detach(), expected)


@pytest.mark.parametrize(("epochs", "lr"), [(2, 0.1), (500, 0.03), (5000, 0.005)])
def test_the_fewer_its_steps_the_longer_are_those_of_the_fitness(epochs: int, lr: float) -> None:
    """Two fitness steps an epoch: 30 over their number, between 0.005 and 0.1."""
    (group,) = trainer(epochs=epochs).start().fitness_optimiser.param_groups
    assert group["lr"] == pytest.approx(lr)
