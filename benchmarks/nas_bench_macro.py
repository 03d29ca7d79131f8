"""The evolving loop beside random sampling on NAS-Bench-Macro's table of 6,561 trained networks.

Scored by the table (mean test accuracy); there is no supernet and so no fitness: what is measured is the loop alone.
Budget: the middle third of the table's cost range. Both spend the same number of evaluations; the figure is the
hypervolume of everything inside the budget that each has scored.
Run: python benchmarks/nas_bench_macro.py nas-bench-macro_cifar10.json [--json]
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import uniform_probabilities
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, SearchSettings
from evospace.strategies.nse import evolve, first_state
from evospace.strategies.pareto import front_hypervolume, front_of
from evospace.strategies.queues import default_rounds, shuffled

NAMES = ("identity", "mbconv_k3_e3", "mbconv_k5_e6")
BLOCKS, EVALUATIONS, SEEDS, K = 8, 300, 20, 2
FULL = SearchSpace((NAMES,) * BLOCKS, (True,) * BLOCKS, "single")


def key(architecture: Architecture) -> str:
    """The table's key, e.g. `02012100`."""
    return "".join(str(NAMES.index(names[0])) for names in architecture.blocks)


@dataclass
class TableRound:
    """Scores from the table; nothing is pruned."""

    space: SearchSpace
    accuracy: Mapping[str, float]
    probabilities: Sequence[np.ndarray]
    fitness: Mapping[tuple[int, str], float]
    pruned: Sequence[tuple[int, str, int]] = ()

    def score(self, architectures: Sequence[Architecture]) -> list[float]:
        """Table look-ups."""
        return [self.accuracy[key(a)] for a in architectures]


@dataclass
class TableLab:
    """Every look-up counts as one evaluation, the rehearsed front's too."""

    accuracy: Mapping[str, float]
    spaces: list[SearchSpace] = field(default_factory=list)

    def train(self, round: int, space: SearchSpace, locked: frozenset[tuple[int, str]]) -> TableRound:
        """Uniform gates over the round's space."""
        self.spaces.append(space)
        fitness = {(b, n): 0.0 for b, names in enumerate(space.candidates) for n in names}
        return TableRound(space, self.accuracy, uniform_probabilities(space), fitness)


def cost_table(table: Mapping[str, Any]) -> CostTable:
    """The table's MACs as an additive cost, from the networks that differ from the all-identity one in one block."""
    base = table["0" * BLOCKS]["flops"]
    ops = tuple(
        {name: table["0" * b + str(i) + "0" * (BLOCKS - b - 1)]["flops"] - base for i, name in enumerate(NAMES)}
        for b in range(BLOCKS)
    )
    return CostTable(metric="macs", fixed=base, ops=ops)


def evolved(problem: Problem, accuracy: Mapping[str, float], seed: int) -> list[Evaluation]:
    """Everything the loop scores with the given number of evaluations."""
    rounds = default_rounds(len(NAMES), K)
    inside = int(EVALUATIONS / rounds / 1.05)
    settings = SearchSettings(candidates=K, samples=inside, seed=seed)
    results = list(evolve(problem, settings, TableLab(accuracy), first_state(shuffled(FULL, seed), rounds)))
    return [e for r in results for e in r.evaluations][:EVALUATIONS]


def random_draws(problem: Problem, accuracy: Mapping[str, float], seed: int) -> list[Evaluation]:
    """As many distinct architectures of the full space inside the window."""
    sampler = WindowSampler(FULL, problem.table, problem.budget, uniform_probabilities(FULL))
    drawn = sampler.draw_distinct(EVALUATIONS, numpy_generator(seed, "random"))
    return [problem.evaluation(a, accuracy[key(a)], 1) for a in drawn]


def quality(scored: Sequence[Evaluation], budget: Budget) -> float:
    """Hypervolume of what lies inside the budget."""
    inside = [e for e in scored if e.macs in budget]
    return front_hypervolume(front_of(inside, budget), budget, 10)


def main() -> None:
    """Twenty seeds of each; prints means, spreads and who won how often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    table = json.loads(args.table.read_text())
    accuracy = {k: row["mean_acc"] / 100 for k, row in table.items()}
    costs = cost_table(table)
    error = max(
        abs(costs.cost(Architecture.of([[NAMES[int(c)]] for c in k])) / r["flops"] - 1) for k, r in table.items()
    )
    low, high = costs.bounds(FULL)
    budget = Budget(metric="macs", low=low + (high - low) // 3, high=low + 2 * (high - low) // 3)
    problem = Problem(full=FULL, tables={"macs": costs, "params": costs}, budget=budget, classes=10)
    values = {
        name: [quality(work(problem, accuracy, s), budget) for s in range(SEEDS)]
        for name, work in (("evolution", evolved), ("random", random_draws))
    }
    everything = [problem.evaluation(Architecture.of([[NAMES[int(c)]] for c in k]), a, 1) for k, a in accuracy.items()]
    best = quality(everything, budget)
    wins = sum(a > b for a, b in zip(values["evolution"], values["random"], strict=True))
    print(f"budget {budget}; additive cost is off by at most {100 * error:.3f} %; best possible hypervolume {best:.5f}")
    for name, found in values.items():
        print(f"{name:<10} hypervolume {statistics.mean(found):.5f} +/- {statistics.stdev(found):.5f} ({SEEDS} seeds)")
    print(f"evolution above random in {wins} of {SEEDS} seeds")
    if args.json:
        print(json.dumps({n: statistics.mean(v) for n, v in values.items()} | {"best": best, "wins": wins}))


if __name__ == "__main__":
    main()
