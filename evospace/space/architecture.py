"""An architecture: per block, the set of operations it uses. No torch here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evospace.errors import DataError


@dataclass(frozen=True, order=True)
class Architecture:
    """Per choice block the names of the operations it uses, sorted; an empty block is the identity."""

    blocks: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, blocks: Iterable[Iterable[str]]) -> "Architecture":
        """An architecture from any collections of names; the order of names does not matter."""
        return cls(tuple(tuple(sorted(set(names))) for names in blocks))

    def to_json(self) -> list[list[str]]:
        """A list per block of operation names."""
        return [list(names) for names in self.blocks]

    @classmethod
    def from_json(cls, data: Any) -> "Architecture":
        """The inverse of `to_json`; raises `DataError` for another form."""
        fits = isinstance(data, list) and all(isinstance(names, list) for names in data)
        if not fits or not all(isinstance(name, str) for names in data for name in names):
            raise DataError("an architecture is a list with a list of operation names per block")
        return cls.of(data)

    def __str__(self) -> str:
        return " | ".join("+".join(names) or "-" for names in self.blocks)
