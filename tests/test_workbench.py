"""What a search is asked for reaches what trains and scores it. Rules are frozen records: equality is the oracle."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.data import SearchSplits
from evospace.data.splits import InMemorySplit
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.strategies.contract import Problem, RuleName
from evospace.supernet.fitness import PruneRule
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import initialised_supernet
from evospace.training.recipe import Recipe
from evospace.training.rules.darts import DartsRule
from evospace.training.rules.nse import NseRule
from evospace.training.rules.path_dropout import PathDropoutRule
from evospace.training.rules.proxyless import ProxylessRule
from evospace.training.rules.uniform import UniformRule
from evospace.training.supernet_trainer import EpochReport, Progressed, TrainSettings
from evospace.workbench import Workbench

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
SPACE = SearchSpace.over(SKELETON.blocks(), ("mbconv_k3_e1", "mbconv_k3_e3", "conv_k3_e1"))
TABLES = cost_tables(SKELETON, SPACE, 3)
BUDGET = Budget(metric="macs", low=300_000, high=400_000)
PROBLEM = Problem(full=SPACE, tables=TABLES, budget=BUDGET, classes=3, limits={"params": 30_000})
LOCKED = frozenset({(0, "mbconv_k3_e1")})


def split(count: int) -> InMemorySplit:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return InMemorySplit(images, torch.arange(count) % 3, mean=(0.5,), std=(0.3,))


SPLITS = SearchSplits(train=split(50), fitness=split(16), scoring=split(12))


def bench(**asked: Any) -> Workbench:
    return Workbench(config=SearchConfig(**asked), problem=PROBLEM, skeleton=SKELETON, splits=SPLITS, device="cpu")


def nse(weak: PruneRule, **changes: Any) -> NseRule:
    """What no setting changes, and what is asked for by a test."""
    return NseRule(table=TABLES["macs"], budget=BUDGET, limits=[(TABLES["params"], 30_000)], weak=weak, **changes)


def test_nse_keeps_the_further_limits_and_prunes_by_the_threshold_but_none_that_is_locked() -> None:
    assert bench().rule("nse") == nse(PruneRule(threshold=-2.0))
    assert bench(prune_threshold=-0.5).rule("nse", LOCKED) == nse(PruneRule(threshold=-0.5, locked=LOCKED))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"train_gates": "fitness"}, {"train_gates": "fitness"}),
        ({"train_gates": "uniform"}, {"train_gates": "uniform"}),
        ({"fitness_pairs": "unconditional"}, {"fitness_pairs": "unconditional"}),
        ({"gates_window": "0.8..1.25"}, {"gates_window": (0.8, 1.25)}),
    ],
)
def test_the_gates_of_nse_are_those_asked_for(asked: Mapping[str, str], expected: Mapping[str, Any]) -> None:
    found, weak = bench(**asked).rule("nse"), PruneRule(threshold=-2.0)
    assert found == nse(weak, **expected)
    assert found != nse(weak)


@pytest.mark.parametrize("order", [1, 2])
def test_darts_has_the_order_asked_for(order: Literal[1, 2]) -> None:
    assert bench(darts_order=order).rule("darts") == DartsRule(table=TABLES["macs"], budget=BUDGET, order=order)


def test_proxyless_has_the_budget_and_its_table() -> None:
    assert bench().rule("proxyless") == ProxylessRule(table=TABLES["macs"], budget=BUDGET)
    params = Budget(metric="params", low=20_000, high=25_000)
    other = replace(bench(), problem=replace(PROBLEM, budget=params, limits={}))
    assert other.rule("proxyless") == ProxylessRule(table=TABLES["params"], budget=params)


@pytest.mark.parametrize(("epochs", "batch_size", "steps"), [(7, 8, 42), (3, 25, 6), (4, 64, 4)])
def test_the_rate_of_path_dropout_grows_over_all_weight_steps(epochs: int, batch_size: int, steps: int) -> None:
    """Of 50 images: 6 whole batches of 8, 2 of 25, and 1 of all where a batch would hold more."""
    made = bench(epochs=epochs, batch_size=batch_size)
    assert made.rule("path-dropout") == PathDropoutRule(steps=steps)
    trainer = made.trainer(1, SPACE, unmade, "path-dropout")
    assert epochs * trainer.steps_per_epoch == steps


def test_uniform_training_is_near_the_budget_unless_it_is_asked_not_to_be() -> None:
    """The middle of the budget is 350 000."""
    rule = bench(gates_window="0.8..1.2").rule("uniform")
    assert isinstance(rule, UniformRule)
    assert rule.near is not None
    assert rule.near.table == TABLES["macs"]
    assert rule.near.window == Budget(metric="macs", low=280_000, high=420_000)
    assert bench(train_gates="uniform").rule("uniform") == UniformRule(near=None)


def unmade() -> SuperNet:
    raise AssertionError("a trainer makes its supernet when it starts")


def test_a_round_trains_on_the_training_images_and_fits_on_those_for_the_fitness() -> None:
    reports, steps, unread = list[EpochReport](), list[Progressed](), list[Progressed]()
    part = SPACE.without([(0, "conv_k3_e1")])
    made = bench(epochs=7, batch_size=10, lr=0.03, seed=5, prune_threshold=-0.5)
    trainer = made.trainer(
        4,
        part,
        unmade,
        "nse",
        LOCKED,
        on_epoch=reports.append,
        on_step=steps.append,
        on_data_error=unread.append,
        waits=False,
    )
    assert trainer.train is SPLITS.train
    assert trainer.fitness_split is SPLITS.fitness
    assert trainer.settings == TrainSettings(epochs=7, batch_size=10, lr=0.03)
    assert (trainer.seed, trainer.round, trainer.classes) == (5, 4, 3)
    assert (trainer.make, trainer.space, trainer.table) == (unmade, part, TABLES["macs"])
    assert trainer.rule == nse(PruneRule(threshold=-0.5, locked=LOCKED))
    hooks = (trainer.on_epoch, trainer.on_step, trainer.on_data_error, trainer.waits)
    assert hooks == (reports.append, steps.append, unread.append, False)


@pytest.mark.parametrize("name", ["nse", "uniform", "path-dropout", "darts", "proxyless"])
def test_a_round_is_trained_by_the_rule_it_is_told(name: RuleName) -> None:
    made = bench(train_gates="uniform")
    assert made.trainer(1, SPACE, unmade, name).rule == made.rule(name)


def test_a_batch_is_never_larger_than_the_training_images() -> None:
    assert (bench(batch_size=50).batch_size, bench(batch_size=51).batch_size) == (50, 50)
    assert bench(batch_size=64).trainer(1, SPACE, unmade, "nse").settings.batch_size == 50


def alone(made: Workbench) -> Any:
    return made.alone(under_way=lambda _: None, on_step=lambda *_: None, kept=None)


def test_an_architecture_is_trained_alone_as_the_search_is_asked_to_train() -> None:
    found = alone(bench(epochs=7, batch_size=10, lr=0.03, seed=5))
    assert found.recipe == Recipe(epochs=7, batch_size=10, lr=0.03)
    assert found.train is SPLITS.train
    assert found.scoring is SPLITS.scoring
    assert (found.seed, found.skeleton, found.classes, found.device) == (5, SKELETON, 3, "cpu")
    assert found.kept is None


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("initial", ["aligned", "independent"])
def test_a_supernet_begins_as_it_is_asked_to_by_seed_and_round(initial: str) -> None:
    part = SPACE.without([(0, "conv_k3_e1")])
    found = bench(initial_weights=initial, seed=5).supernet(2, part).weights()

    def made(seed: int, round: int, aligned: bool) -> Mapping[str, Tensor]:
        return initialised_supernet(lambda: SuperNet(SKELETON, part, 3), seed, round, "cpu", aligned=aligned).weights()

    asked = (5, 2, initial == "aligned")
    assert same(found, made(*asked))
    for other in ((6, 2, asked[2]), (5, 3, asked[2]), (5, 2, not asked[2])):
        assert not same(found, made(*other))


def test_scores_are_calibrated_on_as_many_training_batches_as_asked_for_the_same_in_a_whole_round() -> None:
    made = bench(batch_size=10, calibration_batches=3, seed=5)
    supernet = made.supernet(1, SPACE)
    found, again, other = (made.estimator(supernet, round) for round in (1, 1, 2))
    assert found.supernet is supernet
    assert found.scoring is SPLITS.scoring
    assert [len(labels) for _, labels in found.calibration] == [10, 10, 10]
    images, repeated, others = (torch.cat([batch for batch, _ in e.calibration]) for e in (found, again, other))
    assert torch.equal(images, repeated)
    assert not torch.equal(images, others)
    known = {tuple(image.flatten().tolist()) for image in next(SPLITS.train.epoch(50))[0]}
    drawn = {tuple(image.flatten().tolist()) for image in images}
    assert len(drawn) == 30
    assert drawn <= known
