"""Trains one architecture from scratch in one call, for benchmarks and comparisons."""

import torch
from torch import nn

from evospace.data.splits import Split
from evospace.seeding import derive
from evospace.supernet.network import Network, initialise
from evospace.training.network_trainer import NetworkTrainer
from evospace.training.recipe import Recipe


def train_network(network: Network, split: Split, recipe: Recipe, *, seed: int, device: str = "cpu") -> float:
    """Initialise `network` from `seed` and train it in place on `split`; returns the last epoch's mean loss.

    Give all training images, held-out ones included: the search is over, nothing is selected here any more.
    """

    def make() -> Network:
        initialise(network, torch.Generator().manual_seed(derive(seed, "standalone-weights")))
        return network

    final = network.head[-1]
    assert isinstance(final, nn.Linear)
    trainer = NetworkTrainer(
        recipe=recipe, make=make, train=split, classes=final.out_features, seed=seed, device=device
    )
    return trainer.run(trainer.start()).position.last_loss


def accuracy_of(network: nn.Module, split: Split, batch_size: int = 512) -> float:
    """Fraction of the images of `split` that `network` gets right, in evaluation mode."""
    network.eval()
    hits = 0
    with torch.no_grad():
        for images, labels in split.epoch(batch_size):
            hits += int((network(images).argmax(1) == labels).sum())
    return hits / len(split)
