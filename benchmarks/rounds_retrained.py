"""Did the space get better? The best architectures of rounds 1, 3 and the last, trained from scratch.

All are trained on training and held-out images with one recipe and several seeds, then tested.
Run: python benchmarks/rounds_retrained.py RUN [--rounds 1,3,last] [--epochs 30] [--seeds 3] [--json]
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import torch

from evospace.config import SearchConfig
from evospace.data import load_data
from evospace.data.splits import Split
from evospace.estimation.trained_alone import accuracy_of
from evospace.ops.user import load_ops
from evospace.runs.front import Front, read_front
from evospace.runs.run_directory import RunDirectory
from evospace.runs.stored_settings import read_config
from evospace.seeding import derive
from evospace.settings_file import settings_from
from evospace.space.architecture import Architecture
from evospace.supernet.network import Network, drawn
from evospace.training.network_trainer import NetworkTrainer
from evospace.training.recipe import Recipe


def trained(front: Front, architecture: Architecture, images: Split, recipe: Recipe, seed: int) -> Network:
    """The network after the whole recipe, with weights and order of the images drawn from `seed`."""

    def make() -> Network:
        generator = torch.Generator().manual_seed(derive(seed, "standalone-weights"))
        return drawn(partial(Network, front.skeleton, architecture, front.classes), generator)

    trainer = NetworkTrainer(recipe=recipe, make=make, train=images, classes=front.classes, seed=seed, device="cpu")
    return trainer.run(trainer.start()).network


def main() -> None:
    """Train, print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--batch-size", "-b", type=int, default=128)
    parser.add_argument("--rounds", default="1,3,last")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = RunDirectory(args.run)
    config = settings_from(SearchConfig, read_config(args.run), str(args.run))
    load_ops(config.ops)
    data_dir = Path(config.data_dir) if config.data_dir else None
    size = config.image_size or None
    data = load_data(config.data, data_dir=data_dir, image_size=size, seed=config.seed, flip=config.flip)
    front = read_front(run.front)
    recipe = Recipe(epochs=args.epochs, batch_size=args.batch_size, lr=args.lr)
    states = run.database.states()
    found = {}
    named = {len(states) if word == "last" else int(word) for word in args.rounds.split(",")}
    for state in (state for state in states if state.round in named):
        best = state.front[-1]
        accuracies = []
        for seed in range(args.seeds):
            network = trained(front, best.architecture, data.train, recipe, seed)
            accuracies.append(float(accuracy_of(network, data.test)))  # a reason why there is none ends it
            print(
                f"round {state.round}: {best.macs:,} MACs, seed {seed}: test {100 * accuracies[-1]:.2f} %", flush=True
            )
        found[f"round_{state.round}"] = accuracies
    for name, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:<10} mean {100 * statistics.mean(values):.2f} %  standard deviation {100 * spread:.2f}")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
