"""What a supernet step costs beside the plain network of the same operations: ratios, measured in pairs.

`mobile` skeleton, K = 5 random operations of mobile27 per block, 64 pixels, batch 32, one thread. Every pair runs
both sides in turn; the figure is the median of the pairs' ratios. Run: python benchmarks/supernet_step.py [--json]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.ops.pools import POOLS
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.choice_block import route_of
from evospace.supernet.fitness import Fitness, draw_pairs
from evospace.supernet.network import Network
from evospace.supernet.supernet import SuperNet
from evospace.training.optimisers import sgd
from evospace.training.supernet_trainer import TrainState, fitness_step

PAIRS, CLASSES, BATCH, SIZE, K = 7, 100, 32, 64, 5
SKELETON = make_skeleton("mobile", image_size=SIZE, image_channels=3)
NAMES = [spec.name for spec in POOLS["mobile27"]]


def active_space() -> SearchSpace:
    """K random operations per block."""
    full = SearchSpace.over(SKELETON.blocks(), NAMES)
    orders = (numpy_generator(0, "bench", b).permutation(len(NAMES))[:K] for b in range(len(full.candidates)))
    return full.with_candidates([NAMES[i] for i in order] for order in orders)


def step(forward: Callable[[Tensor], Tensor], optimiser: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> None:
    """One weight step."""
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(functional.cross_entropy(forward(batch[0]), batch[1]))
    optimiser.step()


def ratio(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median and spread (largest less smallest) of first / second over the pairs, after one warm-up of each."""
    first(), second()
    found = []
    for i in range(PAIRS):
        order = (first, second) if i % 2 == 0 else (second, first)
        seconds = {}
        for work in order:
            start = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - start
        found.append(seconds[first] / seconds[second])
    return statistics.median(found), max(found) - min(found)


def plain(architecture: Architecture, *, channels_last: bool) -> nn.Module:
    """The same operations as a network of its own."""
    network = Network(SKELETON, architecture, CLASSES).train()
    return network.to(memory_format=torch.channels_last) if channels_last else network


def main() -> None:
    """Measure, print a table, and with --json one object as the last line."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = active_space()
    fitness = Fitness(space)
    # The architecture of every row is the first subset that the fitness step draws (its seed is fixed below).
    pairs = draw_pairs(space, fitness.probabilities(space), np.random.default_rng(0))
    architecture = Architecture.of(pair[0] for pair in pairs)
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.arange(BATCH) % CLASSES
    last = (images.to(memory_format=torch.channels_last), labels)
    supernet = SuperNet(SKELETON, space, CLASSES).to(memory_format=torch.channels_last).train()
    bare, contiguous = plain(architecture, channels_last=True), plain(architecture, channels_last=False)
    mine, fused = sgd(supernet, lr=0.01), sgd(bare, lr=0.01)
    simple = torch.optim.SGD(contiguous.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=4e-5)
    route = route_of(architecture)
    table = cost_tables(SKELETON, space, CLASSES)["macs"]
    state = TrainState(
        supernet=supernet,
        fitness=fitness,
        space=space,
        weight_optimiser=mine,
        fitness_optimiser=torch.optim.Adam([fitness.alpha]),
    )
    budget = Budget.parse("macs=25M")

    def weight() -> None:
        step(lambda x: supernet(x, route), mine, last)

    def shape_alpha() -> None:
        fitness_step(state, last, np.random.default_rng(0), table, budget)

    rows = {
        "step_over_bare": ratio(weight, lambda: step(bare, fused, last)),
        "step_over_contiguous": ratio(weight, lambda: step(contiguous, simple, (images, labels))),
        "fitness_over_weight": ratio(shape_alpha, weight),
    }
    for name, (middle, spread) in rows.items():
        print(f"{name:<24}{middle:8.3f}  (spread {spread:.3f} over {PAIRS} pairs)")
    if "--json" in sys.argv:
        print(json.dumps({name: round(middle, 4) for name, (middle, _) in rows.items()}))


if __name__ == "__main__":
    main()
