"""What a round's supernet begins with, and under which name weights are stored: whole searches, hardly trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import evospace
from evospace.cost.network_cost import cost_tables
from evospace.estimation.shared_weights import SharedWeights
from evospace.runs.checkpoints import load_checkpoint
from evospace.runs.run_directory import RunDirectory
from evospace.sampling.gates import initial_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.strategies.contract import Problem, TrainedRound
from evospace.strategies.rounds import sample
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import initialised_supernet
from evospace.training.snapshot import TrainState
from evospace.training.supernet_trainer import RoundTrainer

NAMES = ("mbconv_k3_e1", "mbconv_k3_e3", "mbconv_k3_e6")
POOL = "mobile27:kernel=3:dilation=1"
SKELETON = make_skeleton(None, image_size=8, image_channels=1)
MACS = cost_tables(SKELETON, SearchSpace.over(SKELETON.blocks(), NAMES), 10)["macs"]
SEARCH: dict[str, Any] = {
    **{"data": "digits", "budget": "macs=0.2M..2M", "pool": POOL, "candidates": 2, "samples": 6},
    **{"epochs": 1, "batch_size": 512, "calibration_batches": 1, "bare": True},
}
"""Two rounds of two steps. In the second a block has an operation that it had not before, of the same family."""

Weights = Mapping[str, Tensor]


def accuracy(architecture: Architecture) -> float:
    """The dearer the more accurate: nothing dominates anything, and a front is all that lies in the budget."""
    return MACS.cost(architecture) / 1e7


@dataclass(frozen=True)
class Searched:
    """A run, and per round the space and the weights that it began with."""

    run: RunDirectory
    begun: Mapping[int, tuple[SearchSpace, Weights]]


def search(out: Path, **settings: Any) -> Searched:
    begun = dict[int, tuple[SearchSpace, Weights]]()
    start = RoundTrainer.start

    def noted(trainer: RoundTrainer) -> TrainState:
        state = start(trainer)
        weights = {key: value.clone() for key, value in state.supernet.weights().items()}
        begun.setdefault(trainer.round, (trainer.space, weights))
        return state

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RoundTrainer, "start", noted)
        patch.setattr(SharedWeights, "score", lambda _, architecture: accuracy(architecture))
        evospace.search(**SEARCH, **settings, out=out)
    assert begun.keys() == {1, 2}
    return Searched(RunDirectory(out), begun)


@pytest.fixture(scope="module")
def inherited(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """With the default settings: weights are inherited, and begin aligned."""
    return search(tmp_path_factory.mktemp("inherited") / "run")


def anew(round: int, space: SearchSpace, *, aligned: bool) -> Weights:
    """What a round draws where it inherits nothing; the seed is 0."""
    return initialised_supernet(lambda: SuperNet(SKELETON, space, 10), 0, round, "cpu", aligned=aligned).weights()


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def filters(weights: Weights) -> set[str]:
    """Drawn anew, no two of them are equal; BatchNorms and biases are alike wherever they begin."""
    return {key for key, value in weights.items() if value.ndim > 1}


def test_a_round_begins_with_the_weights_of_the_round_before_and_what_is_new_with_those_of_its_family(
    inherited: Searched,
) -> None:
    first, (space, weights) = inherited.begun[1], inherited.begun[2]
    assert same(first[1], anew(1, first[0], aligned=True))
    before, _ = load_checkpoint(inherited.run.checkpoint(1))
    new = filters(weights) - before.keys()
    assert new
    assert filters(weights) - new
    assert all(torch.equal(weights[key], before[key]) for key in weights.keys() & before.keys())
    drawn = anew(2, space, aligned=True)
    assert all(taken_over(key, weights[key], before) for key in new)
    assert not any(taken_over(key, drawn[key], before) for key in new)


def test_a_round_that_inherits_begins_with_what_is_new_drawn_by_itself_where_it_is_asked_to(tmp_path: Path) -> None:
    found = search(tmp_path / "run", initial_weights="independent")
    first, (space, weights) = found.begun[1], found.begun[2]
    assert same(first[1], anew(1, first[0], aligned=False))
    before, _ = load_checkpoint(found.run.checkpoint(1))
    stayed = weights.keys() & before.keys()
    assert filters(weights) & stayed
    assert filters(weights) - stayed
    drawn = anew(2, space, aligned=False)
    assert all(torch.equal(weights[key], (before if key in stayed else drawn)[key]) for key in weights)


def taken_over(key: str, value: Tensor, before: Weights) -> bool:
    """Whether a filter is, as far as it reaches, that of an operation that its block had: all kernels are of size 3."""
    _, block, _, _, rest = key.split(".", 4)
    olds = [before[other] for name in NAMES if (other := f"blocks.{block}.ops.{name}.{rest}") in before]
    parts = [(slice(min(value.shape[0], old.shape[0])), slice(min(value.shape[1], old.shape[1]))) for old in olds]
    return any(torch.equal(value[part], old[part]) for part, old in zip(parts, olds, strict=True))


def test_a_round_begins_anew_where_weights_are_fresh(tmp_path: Path) -> None:
    found = search(tmp_path / "run", weights="fresh")
    before, _ = load_checkpoint(found.run.checkpoint(1))
    for round, (space, weights) in found.begun.items():
        assert same(weights, anew(round, space, aligned=True))
    weights = found.begun[2][1]
    stayed = filters(weights) & before.keys()
    assert stayed
    assert not any(torch.equal(weights[key], before[key]) for key in stayed)


def test_each_member_of_a_front_is_stored_under_its_own_number(inherited: Searched) -> None:
    run = inherited.run
    for state in run.database.states():
        supernet, meta = load_checkpoint(run.checkpoint(state.round))
        assert meta == {"round": state.round}
        assert len(state.front) > 1
        assert len({member.architecture for member in state.front}) == len(state.front)
        for i, member in enumerate(state.front):
            weights, meta = load_checkpoint(run.member(state.round, i))
            assert meta == {"round": state.round, "accuracy": accuracy(member.architecture)}
            assert operations(weights) == operations_of(member.architecture)
            assert all(torch.equal(weights[key], supernet[key]) for key in filters(weights))
        assert not run.member(state.round, len(state.front)).exists()


def operations(weights: Weights) -> set[tuple[str, ...]]:
    """(block, operation), as the names of tensors tell them."""
    return {tuple(key.split(".")[1:4:2]) for key in weights if key.startswith("blocks.")}


def operations_of(architecture: Architecture) -> set[tuple[str, ...]]:
    return {(str(block), name) for block, names in enumerate(architecture.blocks) for name in names}


def test_what_learns_nothing_is_sampled_by_the_gates_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many operations sparse gates give little to each, which the least of a learned fitness would add to."""
    seen = list[TrainedRound]()

    def noted(problem: Problem, trained: TrainedRound, *rest: Any) -> Any:
        seen.append(trained)
        return sample(problem, trained, *rest)

    monkeypatch.setattr("evospace.strategies.one_shot.sample", noted)
    monkeypatch.setattr(SharedWeights, "score", lambda _, architecture: accuracy(architecture))
    evospace.search(**SEARCH | {"candidates": 5}, strategy="one-shot", out=tmp_path / "run")
    (trained,) = seen
    assert trained.space.branches == "multi"
    for given, initial in zip(trained.probabilities, initial_probabilities(trained.space), strict=True):
        assert (given == initial).all()
