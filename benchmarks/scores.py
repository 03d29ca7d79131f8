"""What should a network be scored by? Rank correlations of several scores with what was tested after a retraining.

For a finished search whose networks `evospace study ranking RUN` has retrained: accuracy and cross-entropy under the
shared weights, on the scoring images and on training images, with more calibration, after steps of the network's own
from those weights, and after as many from scratch. The steps have the search's batch size and half its learning rate,
unless others are given.
Run: python benchmarks/scores.py RUN [--steps 20,40,80] [-b 32 --lr 0.1] [--json]
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from scipy.stats import kendalltau
from torch import nn
from torch.nn import functional

from evospace.config import SearchConfig
from evospace.data.splits import Split
from evospace.experiment import Experiment, prepare
from evospace.runs.checkpoints import load_checkpoint
from evospace.runs.run_directory import RunDirectory
from evospace.runs.stored_settings import read_config
from evospace.settings_file import settings_from
from evospace.space.architecture import Architecture
from evospace.strategies.queues import inherit
from evospace.supernet.network import Network, initialise
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import inherit_weights
from evospace.training.network_trainer import NetworkTrainer
from evospace.training.recipe import Recipe
from evospace.training.supernet_trainer import CLIP

MORE_CALIBRATION = 4
"""Times the search's own calibration batches."""
Scores = dict[str, float]


def main() -> None:
    """Score, print a line per score, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", default="20,40,80")
    parser.add_argument("-b", "--batch-size", type=int, default=0)
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    steps = [int(text) for text in args.steps.split(",")]
    ranked = [e for e in json.loads((args.run / "ranking.json").read_text())["networks"] if "top1" in e]
    experiment = prepare(replace(settings_from(SearchConfig, read_config(args.run), str(args.run)), resume=False))
    config = experiment.config
    recipe = Recipe(batch_size=args.batch_size or config.batch_size, lr=args.lr or config.lr / 2, clip_grad=CLIP)
    states = RunDirectory(args.run).database.states()
    supernet = _supernet(experiment, RunDirectory(args.run).checkpoint(states[-1].round), ranked)
    found = []
    for entry in ranked:
        architecture = Architecture.from_json(entry["architecture"])
        found.append(_scores(experiment, supernet, states[-1].round, architecture, steps, recipe))
        print(f"{entry['key']}: tested {100 * entry['top1']:.2f} %, {found[-1]}", flush=True)
    tested = [entry["top1"] for entry in ranked]
    taus = {name: float(kendalltau([scores[name] for scores in found], tested).statistic) for name in found[0]}
    for name, tau in taus.items():
        print(f"{name:<40} tau {tau:+.2f}")
    if args.json:
        print(json.dumps(taus))


def _supernet(experiment: Experiment, checkpoint: Path, ranked: list[Mapping[str, object]]) -> SuperNet:
    """The last round's, as far as the ranked networks use it."""
    full = experiment.problem.full
    used = [experiment.problem.evaluation(Architecture.from_json(e["architecture"]), 0.0, 1) for e in ranked]
    supernet = experiment.bench.supernet(1, full.with_candidates(inherit(used, full.candidates)))
    inherit_weights(supernet, load_checkpoint(checkpoint)[0], aligned=False)
    return supernet


def _scores(
    experiment: Experiment,
    supernet: SuperNet,
    round: int,
    architecture: Architecture,
    steps: list[int],
    recipe: Recipe,
) -> Scores:
    splits, found = experiment.bench.splits, Scores()
    plain = splits.train.without_augmentation().subset(list(range(0, len(splits.train), 4)))
    batches = experiment.config.calibration_batches
    for calibration in (batches, MORE_CALIBRATION * batches):
        config = replace(experiment.config, calibration_batches=calibration)
        weights = replace(experiment.bench, config=config).estimator(supernet, round).weights(architecture)
        for name, split in (("scoring", splits.scoring), (f"{len(plain)} training", plain)):
            label = f"shared, {name} images, {calibration} batches"
            found |= _measured(label, _loaded(experiment, architecture, weights), split)
    shared = experiment.bench.estimator(supernet, round).weights(architecture)
    starts: dict[str, Callable[[], Network]] = {
        "shared": lambda: _loaded(experiment, architecture, shared),
        "scratch": lambda: _drawn(experiment, architecture),
    }
    for start, make in starts.items():
        for count in steps:
            network = _trained(experiment, recipe, count, make)
            found |= _measured(f"{count} steps from {start}", network, splits.scoring)
    return found


def _loaded(experiment: Experiment, architecture: Architecture, weights: Mapping[str, torch.Tensor]) -> Network:
    network = Network(experiment.skeleton, architecture, experiment.problem.classes)
    network.load_state_dict(weights)
    return network


def _drawn(experiment: Experiment, architecture: Architecture) -> Network:
    network = Network(experiment.skeleton, architecture, experiment.problem.classes)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def _trained(experiment: Experiment, recipe: Recipe, steps: int, make: Callable[[], Network]) -> nn.Module:
    train = experiment.bench.splits.train
    epochs = math.ceil(steps * recipe.batch_size / len(train))
    part = train.subset(list(range(min(steps * recipe.batch_size // epochs, len(train)))))
    classes = experiment.problem.classes
    trainer = NetworkTrainer(recipe=replace(recipe, epochs=epochs), make=make, train=part, classes=classes, seed=1)
    return trainer.run(trainer.start()).network


def _measured(name: str, network: nn.Module, split: Split) -> Scores:
    """Accuracy, and the cross-entropy with its sign turned, so that more is better."""
    network.eval()
    hits, loss = 0, 0.0
    with torch.no_grad():
        for images, labels in split.epoch(512):
            logits = network(images)
            hits += int((logits.argmax(1) == labels).sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
    return {name: hits / len(split), f"{name}, cross-entropy": -loss / len(split)}


if __name__ == "__main__":
    main()
