"""The ledger: what became of every operation of every round, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evospace.estimation.evaluation import Evaluation
from evospace.strategies.queues import Queues, Swap


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One (block, operation) in one round."""

    round: int
    block: int
    operation: str
    inherited: bool
    """From the previous front (locked), or newly active."""
    fitness: float
    """alpha when it left or when the round ended, less the one it began with."""
    outcome: str
    """`kept` (on the front), `pruned` (weak, and so taken out of the space), `unused` (on no front architecture),
    or `postponed` (gave way to an operation without which the budget could not be reached)."""
    reason: str
    front: tuple[int, ...] = ()
    """Positions on the round's front of the architectures that use it."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"front": list(self.front)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "LedgerRow":
        """The inverse of `to_json`."""
        return cls(**(data | {"front": tuple(data["front"])}))


def pairs_of(ledger: Sequence[LedgerRow], *sides: Sequence[Sequence[str]]) -> set[tuple[int, str]]:
    """(block, operation) of everything that the `ledger` tells of, or that `sides` hold, per block."""
    held = {(block, name) for side in sides for block, names in enumerate(side) for name in names}
    return held | {(row.block, row.operation) for row in ledger}


def rows_of_round(
    round: int,
    queues: Queues,
    swaps: Sequence[Swap],
    fitness: dict[tuple[int, str], float],
    pruned: Sequence[tuple[int, str, int]],
    front: Sequence[Evaluation],
    dropped: Mapping[tuple[int, str], str],
) -> list[LedgerRow]:
    """A row per active (block, operation), and one per operation that was swapped out before training.

    `dropped`: why an operation was taken out of the space after the round, by (block, operation).
    """
    gone = {(block, name): f"fitness below the threshold at step {step}" for block, name, step in pruned}
    gone |= dropped
    rows = []
    for block, (old, new) in enumerate(zip(queues.inherited, queues.fresh, strict=True)):
        for name in (*old, *new):
            users = tuple(i for i, e in enumerate(front) if name in e.architecture.blocks[block])
            outcome, reason = _outcome(gone.get((block, name)), users)
            rows.append(
                LedgerRow(
                    round=round,
                    block=block,
                    operation=name,
                    inherited=name in old,
                    fitness=fitness[block, name],
                    outcome=outcome,
                    reason=reason,
                    front=users,
                )
            )
    return rows + [_postponed(round, swap) for swap in swaps]


def _outcome(gone: str | None, users: tuple[int, ...]) -> tuple[str, str]:
    if gone is not None:
        return "pruned", gone
    if users:
        return "kept", f"used by {len(users)} architecture(s) of the front"
    return "unused", "no architecture of the front uses it"


def _postponed(round: int, swap: Swap) -> LedgerRow:
    return LedgerRow(
        round=round,
        block=swap.block,
        operation=swap.out,
        inherited=False,
        fitness=0.0,
        outcome="postponed",
        reason=f"made way for {swap.into}, which brings the budget into reach",
    )
