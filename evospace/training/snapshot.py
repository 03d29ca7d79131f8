"""All that changes while a round trains, as named tensors and plain values: to roll back to, and to store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from evospace.errors import DataError
from evospace.space.search_space import SearchSpace
from evospace.supernet.fitness import Fitness
from evospace.supernet.supernet import SuperNet
from evospace.training.counting import EpochSums
from evospace.training.optimisers import forget


@dataclass(frozen=True, kw_only=True)
class Position(EpochSums):
    """Where a round's training stands."""

    best: float = 0.0
    """Best training accuracy of an epoch so far."""
    scale: float = 1.0
    """Factor of the learning rate, halved by every roll-back."""
    rollbacks: int = 0


@dataclass(kw_only=True)
class TrainState:
    """All that changes while a round trains."""

    supernet: SuperNet
    fitness: Fitness
    space: SearchSpace
    """What is still active."""
    weight_optimiser: torch.optim.SGD
    fitness_optimiser: torch.optim.Adam
    pruned: list[tuple[int, str, int]] = field(default_factory=list)
    """(block, operation, step) in order."""
    needed: set[tuple[int, str]] = field(default_factory=set)
    """Weak operations without which the budget could not be reached; a smaller space needs them all the more."""
    position: Position = field(default_factory=Position)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A copy of a `TrainState`, on the CPU."""

    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any]
    """Plain JSON values."""


def take(state: TrainState) -> Snapshot:
    """Copy a state."""
    tensors = {key: value.detach().cpu().clone() for key, value in _tensors(state).items()}
    meta = {
        "pruned": [list(entry) for entry in state.pruned],
        "needed": [list(pair) for pair in sorted(state.needed)],
        "position": asdict(state.position),
    }
    return Snapshot(tensors=tensors, meta=meta)


def restore(state: TrainState, snapshot: Snapshot) -> None:
    """Put a copy back into a state freshly started over the round's whole space.

    Raises `DataError` where the copy is of another space (a checkpoint of another version of EvoSpace, say).
    """
    try:
        _restore(state, snapshot)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the training checkpoint does not fit the round's space ({type(error).__name__}: {error}); remove"
            " checkpoints/training-*.safetensors of the run to train the round anew"
        ) from error


def _restore(state: TrainState, snapshot: Snapshot) -> None:
    for block, name, step in snapshot.meta["pruned"]:
        prune(state, (block, name), step)
    state.needed = {(block, name) for block, name in snapshot.meta["needed"]}
    state.position = Position(**snapshot.meta["position"])
    own = _tensors(state)
    if own.keys() != snapshot.tensors.keys():
        raise KeyError(", ".join(sorted(own.keys() ^ snapshot.tensors.keys())[:3]))
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(snapshot.tensors[key])


def pack(round: int, now: Snapshot, good: Snapshot | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values of a training checkpoint: the state now, and within an epoch the last good one."""
    tensors = {f"now/{key}": value for key, value in now.tensors.items()}
    tensors |= {f"good/{key}": value for key, value in good.tensors.items()} if good else {}
    return tensors, {"round": round, "now": now.meta, "good": good.meta if good else None}


def unpack(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> tuple[Snapshot, Snapshot | None]:
    """The inverse of `pack`."""
    parts = {
        name: {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        for name in ("now", "good")
    }
    good = Snapshot(tensors=parts["good"], meta=meta["good"]) if meta["good"] else None
    return Snapshot(tensors=parts["now"], meta=meta["now"]), good


def prune(state: TrainState, pair: tuple[int, str], step: int) -> None:
    """Drop one (block, operation) with its weights and their momentum."""
    state.space = state.space.without([pair])
    forget(state.weight_optimiser, state.supernet.drop([pair]))
    state.pruned.append((*pair, step))


def _tensors(state: TrainState) -> dict[str, Tensor]:
    """The state's own tensors by name."""
    momentum = state.weight_optimiser.state
    adam = state.fitness_optimiser.state[state.fitness.alpha]
    return {
        **{f"supernet/{key}": value for key, value in state.supernet.state_dict().items()},
        **{f"momentum/{key}": momentum[p]["momentum_buffer"] for key, p in state.supernet.named_parameters()},
        "alpha": state.fitness.alpha.data,
        **{f"adam/{key}": value for key, value in adam.items()},
    }
