"""What a supernet step costs beside the plain network of the same operations: ratios, measured in pairs.

`mobile` skeleton, K = 5 random operations of mobile27 per block, 64 pixels, batch 32, one thread. Every pair runs
both sides in turn; the figure is the median of the pairs' ratios. The pool rows compare whole processes, one with the
27 operations waiting in every block's queue and one with 302 (mobile27,grouped72,modern) or 1,000 (generated), that
train the same K active operations: step time and peak resident memory (cost tables, made once before a search, are not
part of it).
Run: python benchmarks/supernet_step.py [--json]
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.ops.pools import POOLS, pool_names
from evospace.ops.spec import OpSpec
from evospace.sampling.gates import draw, initial_probabilities
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.strategies.queues import default_rounds, refill
from evospace.supernet.choice_block import route_of
from evospace.supernet.fitness import Fitness, draw_pairs
from evospace.supernet.network import Network
from evospace.supernet.supernet import SuperNet
from evospace.training.optimisers import sgd
from evospace.training.rules.nse import fitness_step
from evospace.training.snapshot import TrainState

PAIRS, CLASSES, BATCH, SIZE, K = 7, 100, 32, 64, 5
SKELETON = make_skeleton("mobile", image_size=SIZE, image_channels=3)
SHIPPED = 302
"""Distinct operations in all the pools together that ship."""
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


def peak_memory() -> float:
    """Peak resident MiB of this process since it began (Linux; `getrusage` would count the parent's before exec)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def one_process(pool: int) -> dict[str, float]:
    """Median seconds of a weight step, and peak MiB, in this process with `pool` operations in every queue."""
    generated = [
        OpSpec(kind="mbconv", kernel=k, expansion=e, dilation=d, groups=g).name
        for k in (3, 5, 7, 9, 11)
        for e in range(1, 14)
        for d in (1, 2, 3, 4)
        for g in ((1, 1), (1, 2), (2, 1), (2, 2))
    ]
    shipped = pool_names("mobile27,grouped72,modern") if pool == SHIPPED else ()
    names = list(dict.fromkeys([*NAMES, *shipped, *generated]))[:pool]
    space = active_space()
    first = [[*a, *(n for n in names if n not in a)] for a in space.candidates]
    full = SearchSpace.over(SKELETON.blocks(), names).with_candidates(first)
    queues = refill(((),) * len(first), full.candidates, k=K, rounds_left=default_rounds(pool, K), how="full")
    active = full.with_candidates(queues.active())
    supernet = SuperNet(SKELETON, active, CLASSES)
    supernet.to(memory_format=torch.channels_last)
    optimiser = sgd(supernet, lr=0.01)
    images = torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    seconds = []
    for i in range(6):
        route = route_of(draw(active, initial_probabilities(active), numpy_generator(0, "bench-step", i)))
        start = time.perf_counter()
        step(partial(supernet, route=route), optimiser, (images, torch.arange(BATCH) % CLASSES))
        seconds.append(time.perf_counter() - start)
    return {"time": statistics.median(seconds[1:]), "memory": peak_memory()}


def pool_rows(large: int) -> dict[str, tuple[float, float]]:
    """`large` over 27 operations, in pairs of fresh processes."""
    pairs: dict[str, list[float]] = {"time": [], "memory": []}
    for _ in range(5):
        both = []
        for pool in (large, 27):
            command = [sys.executable, __file__, "--one-process", str(pool)]
            both.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        for key, values in pairs.items():
            values.append(both[0][key] / both[1][key])
    return {
        f"pool_{large}_over_27_{key}": (statistics.median(values), max(values) - min(values))
        for key, values in pairs.items()
    }


def main() -> None:
    """Measure, print a table, and with --json one object as the last line."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if "--one-process" in sys.argv:
        print(json.dumps(one_process(int(sys.argv[-1]))))
        return
    space = active_space()
    fitness = Fitness(space)
    # The architecture of every row is the first subset that the fitness step draws (its seed is fixed below).
    pairs = draw_pairs(space, fitness, np.random.default_rng(0))
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
        fitness_step(state, last, draw_pairs(state.space, state.fitness, np.random.default_rng(0)), table, budget)

    rows = {
        "step_over_bare": ratio(weight, lambda: step(bare, fused, last)),
        "step_over_contiguous": ratio(weight, lambda: step(contiguous, simple, (images, labels))),
        "fitness_over_weight": ratio(shape_alpha, weight),
    }
    rows |= pool_rows(SHIPPED) | pool_rows(1000)
    for name, (middle, spread) in rows.items():
        print(f"{name:<26}{middle:8.3f}  (spread {spread:.3f})")
    if "--json" in sys.argv:
        print(json.dumps({name: round(middle, 4) for name, (middle, _) in rows.items()}))


if __name__ == "__main__":
    main()
