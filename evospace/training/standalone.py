"""Trains one architecture from scratch, the same way for every method that is compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from evospace.data.splits import Split
from evospace.seeding import derive
from evospace.supernet.network import initialise
from evospace.training.optimisers import set_lr, sgd, warmup_cosine


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Nesterov SGD with warm-up, cosine and label smoothing."""

    epochs: int = 30
    batch_size: int = 128
    lr: float = 0.1
    label_smoothing: float = 0.1


def train_network(network: nn.Module, splits: Sequence[Split], recipe: Recipe, *, seed: int) -> float:
    """Initialise `network` from `seed` and train it in place on the union of `splits`; returns the last loss.

    Give training and held-out images together: the search is over, nothing is selected here any more.
    """
    initialise(network, torch.Generator().manual_seed(derive(seed, "standalone-weights")))
    network.to(memory_format=torch.channels_last)
    optimiser = sgd(network, lr=recipe.lr)
    per_epoch = sum(len(range(0, len(split), recipe.batch_size)) for split in splits)
    steps, step, value = recipe.epochs * per_epoch, 0, 0.0
    network.train()
    for epoch in range(recipe.epochs):
        for part, split in enumerate(splits):
            for images, labels in split.epoch(recipe.batch_size, seed=derive(seed, "standalone", epoch, part)):
                rate = warmup_cosine(step, steps=steps, warmup=min(2 * per_epoch, steps // 5), peak=recipe.lr)
                set_lr(optimiser, rate)
                loss = functional.cross_entropy(network(images), labels, label_smoothing=recipe.label_smoothing)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                step, value = step + 1, float(loss.detach())
    return value


def accuracy_of(network: nn.Module, split: Split, batch_size: int = 512) -> float:
    """Fraction of the images of `split` that `network` gets right, in evaluation mode."""
    network.eval()
    hits = 0
    with torch.no_grad():
        for images, labels in split.epoch(batch_size):
            hits += int((network(images).argmax(1) == labels).sum())
    return hits / len(split)
