"""A lab without a supernet: architectures are scored by a function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.sampling.gates import initial_probabilities
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace
from evospace.strategies.contract import Problem, RuleName

Oracle = Callable[[Architecture], float | str]
Turned = Mapping[tuple[int, str], tuple[float, float, float]]


@dataclass(kw_only=True)
class TableRound:
    space: SearchSpace
    probabilities: Sequence[np.ndarray]
    fitness: dict[tuple[int, str], float]
    oracle: Oracle
    asked: list[Architecture]
    turns: Callable[[SearchSpace], Turned]
    pruned: Sequence[tuple[int, str, int]] = ()

    def score(self, architectures: Sequence[Architecture]) -> list[float | str]:
        assert all(a in self.space for a in architectures)
        self.asked.extend(architectures)
        return [self.oracle(a) for a in architectures]

    def turned(self) -> Turned:
        return self.turns(self.space)


@dataclass(kw_only=True)
class TableLab:
    """What was trained, and everything that was asked for."""

    oracle: Oracle
    probabilities: Callable[[SearchSpace], Sequence[np.ndarray]] = initial_probabilities
    fitness: Callable[[int, str], float] = lambda block, name: 0.0
    turns: Callable[[SearchSpace], Turned] = lambda space: {}
    trained: list[tuple[str, SearchSpace, bool]] = field(default_factory=list)
    """Rule (`alone` for none), space, and whether it went on with the weights before."""
    locked: list[frozenset[tuple[int, str]]] = field(default_factory=list)
    prunes: bool = False
    """Whether each round drops its first operation, wherever that is not locked."""
    asked: list[Architecture] = field(default_factory=list)

    def train(
        self,
        round: int,
        space: SearchSpace,
        rule: RuleName,
        *,
        locked: frozenset[tuple[int, str]] = frozenset(),
        go_on: bool = False,
    ) -> TableRound:
        self.trained.append((rule, space, go_on))
        self.locked.append(locked)
        first = next((b, name) for b, names in enumerate(space.candidates) for name in names)
        return self._round(space, [first] if self.prunes and first not in locked else [])

    def train_alone(self, round: int, space: SearchSpace) -> TableRound:
        self.trained.append(("alone", space, False))
        return self._round(space)

    def _round(self, space: SearchSpace, weak: Sequence[tuple[int, str]] = ()) -> TableRound:
        pairs = [(b, name) for b, names in enumerate(space.candidates) for name in names]
        left = space.without(weak)
        return TableRound(
            space=left,
            probabilities=self.probabilities(left),
            fitness={pair: self.fitness(*pair) for pair in pairs},
            oracle=self.oracle,
            asked=self.asked,
            turns=self.turns,
            pruned=[(*pair, 0) for pair in weak],
        )


NAMES = tuple(f"op{i}" for i in range(7))


def problem(budget: str, branches: Branches = "single", blocks: int = 4) -> Problem:
    """`op3` costs 13, and so on; every second block may be empty; fixed costs are 5."""
    full = SearchSpace((NAMES,) * blocks, tuple(bool(b % 2) for b in range(blocks)), branches)
    costs = {name: 10 + i for i, name in enumerate(NAMES)}
    tables = {m: CostTable(metric=m, fixed=5, ops=(costs,) * blocks) for m in ("macs", "params")}
    return Problem(full=full, tables=tables, budget=Budget.parse(budget), classes=10)


def nearness(architecture: Architecture) -> float:
    """Every block's best operation is op4 alone: accuracy falls with the distance from it."""
    gaps = [abs(int(names[0][2:]) - 4) + 2 * (len(names) - 1) if names else 5 for names in architecture.blocks]
    return 0.95 - 0.02 * sum(gaps)
