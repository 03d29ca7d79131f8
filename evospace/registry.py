"""Names to things, with errors that name near matches."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from evospace.errors import UsageError, unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """An ordered name -> value table; a name is taken once."""

    def __init__(self, what: str) -> None:
        """`what` names an entry in errors, e.g. ``"operation"``."""
        self._what = what
        self._entries: dict[str, T] = {}

    def add(self, name: str, value: T) -> None:
        """Register `value`; raises `UsageError` where the name is taken by something else."""
        if name in self._entries and self._entries[name] is not value:
            raise UsageError(f"the {self._what} name {name!r} is taken already; choose another name")
        self._entries[name] = value

    def remove(self, name: str) -> None:
        """Forget `name`; raises `UsageError` where it is not known."""
        self[name]
        del self._entries[name]

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown_name(self._what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
