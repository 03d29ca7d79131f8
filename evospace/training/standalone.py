"""Trains one architecture from scratch, the same way for every method that is compared."""

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


def train_network(network: nn.Module, split: Split, recipe: Recipe, *, seed: int, device: str = "cpu") -> float:
    """Initialise `network` from `seed` and train it in place on `split`; returns the last loss.

    Give all training images, held-out ones included: the search is over, nothing is selected here any more.
    """
    initialise(network, torch.Generator().manual_seed(derive(seed, "standalone-weights")))
    network.to(memory_format=torch.channels_last)
    network.to(device).train()
    optimiser = sgd(network, lr=recipe.lr)
    batch_size = min(recipe.batch_size, len(split))
    per_epoch = len(split) // batch_size
    steps, step, value = recipe.epochs * per_epoch, 0, 0.0
    for epoch in range(recipe.epochs):
        augment = derive(seed, "standalone", epoch)
        for images, labels in split.epoch(batch_size, seed=augment, drop_last=True):
            set_lr(optimiser, warmup_cosine(step, steps=steps, warmup=min(2 * per_epoch, steps // 5), peak=recipe.lr))
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
