"""The space as a grid: what became of every operation in every block, round by round."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evospace.report.page.gather import RunFacts
from evospace.strategies.ledger import LedgerRow

PANEL = 40
"""Operations one below the other; more are laid out in panels."""
STATES = {
    "kept": "on the front",
    "unused": "searched, on no network of the front",
    "pruned": "pruned in training",
    "": "not yet traversed",
}
"""What became of an operation, and how a person is told."""
_LETTERS = {"kept": "k", "pruned": "p", "unused": "u"}


@dataclass(frozen=True)
class Cell:
    """One operation in one block."""

    state: str
    """A key of `STATES`, after the last round."""
    first: int
    """Round of the first traversal; 0 for none."""
    history: str
    """`2k1.23 3p-2.01`: round, outcome, fitness if any is learned; what the script shows of an earlier round."""
    absent: bool = False
    """Not in this block's part of the pool."""


ABSENT = Cell("", 0, "", absent=True)


@dataclass(frozen=True)
class GridRow:
    """One operation in every block."""

    operation: str
    cells: Sequence[Cell]


def operations(facts: RunFacts) -> list[str]:
    """Every operation of the pool as far as the run knows it, in natural order."""
    return sorted({name for _, name in facts.pairs}, key=_natural)


def traversed(facts: RunFacts) -> set[tuple[int, str]]:
    """(block, operation) of everything that was active in some round."""
    return {(row.block, row.operation) for row in facts.ledger if row.outcome in _LETTERS}


def grid(facts: RunFacts) -> list[list[GridRow]]:
    """The panels, each a list of rows; about equally long."""
    histories: dict[tuple[int, str], list[LedgerRow]] = defaultdict(list)
    for row in facts.ledger:
        if row.outcome in _LETTERS:
            histories[row.block, row.operation].append(row)
    names, blocks, pairs = operations(facts), range(len(facts.states[-1].waiting)), facts.pairs
    rows = [
        GridRow(name, [_cell(facts, histories[b, name]) if (b, name) in pairs else ABSENT for b in blocks])
        for name in names
    ]
    height = math.ceil(len(rows) / max(math.ceil(len(rows) / PANEL), 1))
    return [rows[start : start + height] for start in range(0, len(rows), height)]


def _cell(facts: RunFacts, rows: Iterable[LedgerRow]) -> Cell:
    ordered = sorted(rows, key=lambda row: row.round)
    if not ordered:
        return Cell("", 0, "")
    learned = facts.learned
    steps = (f"{row.round}{_LETTERS[row.outcome]}" + (f"{row.fitness:.2f}" if learned else "") for row in ordered)
    history = " ".join(steps)
    return Cell(ordered[-1].outcome, ordered[0].round, history)


def _natural(name: str) -> list[tuple[int, str]]:
    """`k9` before `k11`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,9})", name)]
