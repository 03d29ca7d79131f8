"""The evolving loop beside random sampling on NAS-Bench-Macro's table of 6,561 trained networks.

Scored by the table (mean test accuracy); there is no supernet and so no fitness: what is measured is the loop alone.
Budget: the middle third of the table's cost range. Both spend the same number of evaluations; the figure is the
hypervolume of everything inside the budget that each has scored. Then two rivals that evolve architectures, SPOS and
regularized evolution, beside random search: the best accuracy that 200 evaluations find.
Run: python benchmarks/nas_bench_macro.py nas-bench-macro_cifar10.json [--json]
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.estimation.evaluation import Evaluation
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, RuleName
from evospace.strategies.nse import evolve, first_state
from evospace.strategies.pareto import front_hypervolume, front_of
from evospace.strategies.queues import default_rounds, shuffled
from evospace.strategies.strategy import STRATEGIES

NAMES = ("identity", "mbconv_k3_e3", "mbconv_k5_e6")
BLOCKS, EVALUATIONS, SEEDS, K = 8, 300, 20, 2
FEW = 200
"""Evaluations of each rival."""
RIVALS = ("spos", "regularized-evolution", "random")
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

    def turned(self) -> dict[tuple[int, str], tuple[float, float, float]]:
        """A table has no weights."""
        return {}


@dataclass
class TableLab:
    """Every look-up counts as one evaluation, the rehearsed front's too."""

    accuracy: Mapping[str, float]
    spaces: list[SearchSpace] = field(default_factory=list)

    def train_alone(self, round: int, space: SearchSpace) -> TableRound:
        """The table is of networks trained alone."""
        return self.train(round, space, "uniform")

    def train(
        self,
        round: int,
        space: SearchSpace,
        rule: RuleName,
        *,
        locked: frozenset[tuple[int, str]] = frozenset(),
        go_on: bool = False,
    ) -> TableRound:
        """Uniform gates over the round's space."""
        self.spaces.append(space)
        fitness = {(b, n): 0.0 for b, names in enumerate(space.candidates) for n in names}
        return TableRound(space, self.accuracy, initial_probabilities(space), fitness)


def of_key(text: str) -> Architecture:
    """The inverse of `key`."""
    return Architecture.of([[NAMES[int(c)]] for c in text])


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
    settings = SearchConfig(candidates=K, samples=inside, seed=seed)
    results = list(evolve(problem, settings, TableLab(accuracy), first_state(shuffled(FULL.candidates, seed), rounds)))
    return [e for r in results for e in r.evaluations][:EVALUATIONS]


def random_draws(problem: Problem, accuracy: Mapping[str, float], seed: int) -> list[Evaluation]:
    """As many distinct architectures of the full space inside the window."""
    sampler = WindowSampler(FULL, problem.table, problem.budget, initial_probabilities(FULL))
    drawn = sampler.draw_distinct(EVALUATIONS, numpy_generator(seed, "random"))
    return [problem.evaluation(a, accuracy[key(a)], 1) for a in drawn]


def best_found(name: str, problem: Problem, accuracy: Mapping[str, float], seed: int) -> float:
    """Accuracy of the best architecture inside the budget that a strategy finds with `FEW` evaluations."""
    state = first_state(shuffled(FULL.candidates, seed), 1)
    settings = SearchConfig(samples=FEW, seed=seed)
    (result,) = STRATEGIES[name].search(problem, settings, TableLab(accuracy), state)
    inside = [e for e in result.evaluations if e.macs in problem.budget][:FEW]
    return max(e.accuracy for e in inside)


def compared(problem: Problem, accuracy: Mapping[str, float], where: str) -> dict[str, int]:
    """Print the best accuracies that the rivals find; returns how often each is above random search."""
    bests = {name: [best_found(name, problem, accuracy, seed) for seed in range(SEEDS)] for name in RIVALS}
    inside = [a for k, a in accuracy.items() if problem.table.cost(of_key(k)) in problem.budget]
    print(
        f"best accuracy with {FEW} evaluations, {where} ({len(inside)} networks, the best {100 * max(inside):.2f} %):"
    )
    wins = {}
    for name, found in bests.items():
        pairs = list(zip(found, bests["random"], strict=True))
        wins[name] = sum(a > b for a, b in pairs)
        print(
            f"{name:<22} {100 * statistics.mean(found):.3f} % +/- {100 * statistics.stdev(found):.3f};"
            f" above random {wins[name]}, equal {sum(a == b for a, b in pairs)} of {SEEDS}"
        )
    return wins


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
    error = max(abs(costs.cost(of_key(k)) / r["flops"] - 1) for k, r in table.items())
    low, high = costs.bounds(FULL)
    budget = Budget(metric="macs", low=low + (high - low) // 3, high=low + 2 * (high - low) // 3)
    problem = Problem(full=FULL, tables={"macs": costs, "params": costs}, budget=budget, classes=10)
    values = {
        name: [quality(work(problem, accuracy, s), budget) for s in range(SEEDS)]
        for name, work in (("evolution", evolved), ("random", random_draws))
    }
    everything = [problem.evaluation(of_key(k), a, 1) for k, a in accuracy.items()]
    best = quality(everything, budget)
    wins = sum(a > b for a, b in zip(values["evolution"], values["random"], strict=True))
    print(f"budget {budget}; additive cost is off by at most {100 * error:.3f} %; best possible hypervolume {best:.5f}")
    for name, found in values.items():
        print(f"{name:<10} hypervolume {statistics.mean(found):.5f} +/- {statistics.stdev(found):.5f} ({SEEDS} seeds)")
    print(f"evolution above random in {wins} of {SEEDS} seeds")
    rivals = {}
    for where, window in (("middle third", budget), ("the whole table", Budget(metric="macs", low=low, high=high))):
        rivals[where] = compared(replace(problem, budget=window), accuracy, where)
    if args.json:
        print(
            json.dumps(
                {n: statistics.mean(v) for n, v in values.items()} | {"best": best, "wins": wins, "rivals": rivals}
            )
        )


if __name__ == "__main__":
    main()
