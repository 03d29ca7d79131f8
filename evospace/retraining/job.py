"""One training from its first step, or from where it was ended, to its stored weights."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from evospace.cost.network_cost import count_network
from evospace.devices import memory_errors
from evospace.errors import CollapseError
from evospace.retraining.work import Retraining
from evospace.runs.autosave import Autosave, Packed
from evospace.runs.checkpoints import TrainingCheckpoints, load_checkpoint
from evospace.runs.files import write_json, writing
from evospace.runs.network_file import TrainedNetwork, load_weights, planned, save_network
from evospace.runs.retrain_directory import Job
from evospace.runs.signals import Signals
from evospace.runs.stored_settings import retrain_again
from evospace.seeding import derive
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import Network, drawn
from evospace.training.network_trainer import NetworkState, NetworkTrainer

LINE_SECONDS = 5.0
"""Epochs are told about this often."""
Say = Callable[[str], None]


def first_weights(work: Retraining, job: Job) -> Network:
    """The network before its first step: drawn from the seed, then what it begins with, but for another head."""
    described, start = work.networks[job.index], work.starts[job.index]
    planned(described)
    make = partial(Network, described.skeleton, described.architecture, described.classes)
    network = drawn(make, torch.Generator().manual_seed(derive(job.seed, "retrain-weights")))
    if start is None:
        return network
    weights = _begun(start, work.start_classes, described, network)
    load_weights(network, weights, str(start))
    return network


def _begun(start: Path, classes: tuple[str, ...], described: DescribedNetwork, network: Network) -> dict[str, Tensor]:
    """The weights of a checkpoint of `classes`, its last layer replaced by the network's where those differ."""
    weights, _ = load_checkpoint(start)
    if classes != described.class_names:
        last = f"head.{len(network.head) - 1}."
        weights |= {key: value for key, value in network.state_dict().items() if key.startswith(last)}
    return weights


def train_job(work: Retraining, job: Job, signals: Signals, say: Say) -> None:
    """One training, to its end or to a signal; what is finished of it is stored, and not done again.

    No other process may be at it: its folder has to be held (`claimed`).
    """
    if job.result() is not None:  # another process has ended it since the queue was made, or was killed just then
        TrainingCheckpoints(job.path, say).clear()
        return
    (job.path / "result.json").unlink(missing_ok=True)  # of weights that were removed: the first new ones end nothing
    described = work.networks[job.index]
    counted = count_network(described.skeleton, described.architecture, described.classes)
    checkpoints = TrainingCheckpoints(job.path, say)
    clock = _Clock()
    autosave = Autosave(checkpoints=checkpoints, signals=signals, again=retrain_again(job.root))
    trainer = NetworkTrainer(
        recipe=work.config.recipe(),
        make=partial(first_weights, work, job),
        train=work.data.train.normalised_by(described.mean, described.std),
        classes=described.classes,
        seed=job.seed,
        device=work.device,
        on_step=partial(_after_step, job, autosave, clock),
    )
    where = f"in {job.name} at --batch-size {trainer.batch_size}"
    with memory_errors(where, "begin again with a smaller one"), writing(job.path):  # TensorBoard writes there, too
        state = trainer.start()
        if saved := checkpoints.newest(0):
            state.restore(*saved)
            clock.before = saved[1].get("seconds", 0.0)
        with closing(SummaryWriter(job.path / "tensorboard", purge_step=state.position.epoch + 1)) as board:
            replace(trainer, on_epoch=partial(_after_epoch, work, job, board, clock, say)).run(state)
    if not all(bool(value.isfinite().all()) for value in state.network.state_dict().values()):
        raise CollapseError("the last step left weights that are not finite; try a smaller --lr, or --clip-grad 1")
    for weights, tensors in _results(state):
        training = _training(work, job, weights)
        network = TrainedNetwork(described=described, weights=tensors, training=training)
        save_network(job.checkpoint(weights), network)
    write_json(job.path / "result.json", _result(work, job, state, counted, clock))
    checkpoints.clear()


@dataclass
class _Clock:
    """Seconds of a training over all its sittings, and when something was last told."""

    before: float = 0.0

    def __post_init__(self) -> None:
        self.start = self.told = time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start


def _after_step(job: Job, autosave: Autosave, clock: _Clock, state: NetworkState) -> None:
    def packed() -> Packed:
        tensors, meta = state.copy()
        return tensors, meta | {"seconds": clock.seconds}

    autosave.after_step(f"{job.name}, epoch {state.position.epoch + 1}, step {state.position.step}", packed)


def _after_epoch(
    work: Retraining, job: Job, board: SummaryWriter, clock: _Clock, say: Say, state: NetworkState
) -> None:
    position, epochs = state.position, work.config.epochs
    board.add_scalar("train/loss", position.last_loss, position.epoch)
    board.add_scalar("train/accuracy", position.last_accuracy, position.epoch)
    if time.monotonic() - clock.told < LINE_SECONDS and position.epoch not in (1, epochs):
        return
    clock.told = time.monotonic()
    left = clock.seconds / position.epoch * (epochs - position.epoch)
    say(
        f"{job.name}  epoch {position.epoch}/{epochs}  loss {position.last_loss:.3f}"
        f"  training accuracy {position.last_accuracy:.3f}  about {left:.0f} s left"
    )


def _results(state: NetworkState) -> Iterator[tuple[str, dict[str, Tensor]]]:
    yield "last", state.network.state_dict()
    if state.average is not None:
        yield "ema", state.average.module.state_dict()


def _training(work: Retraining, job: Job, weights: str) -> dict[str, Any]:
    return {
        "weights": weights,
        "seed": job.seed,
        "data_seed": work.data_seed,
        "recipe": dict(vars(work.config.recipe())),
        "init": work.config.init,
        "images": len(work.data.train),
        "crop_pct": work.data.train.crop_pct,
        "contents": dict(work.data.contents),
        "place": work.origin.place,
        "search": dict(work.search),
    }


def _result(
    work: Retraining, job: Job, state: NetworkState, counted: Mapping[str, int], clock: _Clock
) -> dict[str, Any]:
    return {
        "format": 1,
        "network": work.networks[job.index].name,
        "seed": job.seed,
        "macs": counted["macs"],
        "params": counted["params"],
        "epochs": state.position.epoch,
        "train_loss": state.position.last_loss,
        "train_accuracy": state.position.last_accuracy,
        "seconds": round(clock.seconds, 3),
        "device": work.device,
    }
