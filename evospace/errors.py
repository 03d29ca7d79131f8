"""Errors a user can mend, each with the exit code the command line gives it."""

import difflib
from collections.abc import Iterable


class EvospaceError(Exception):
    """A mistake or a limit that the user can act on; its text is one clear line."""

    exit_code = 1


class UsageError(EvospaceError):
    """A flag, name, file or setting that cannot be used as given."""

    exit_code = 2


class BudgetError(EvospaceError):
    """No architecture of the space has a cost inside the budget."""

    exit_code = 3


class DataError(EvospaceError):
    """Images, labels or a stored file that cannot be read or do not fit."""

    exit_code = 4


class CollapseError(EvospaceError):
    """Training diverged again after every allowed roll-back, or no architecture could be scored."""


class DiskError(EvospaceError):
    """A file cannot be written; what stood there before is intact."""


class InterruptedRunError(EvospaceError):
    """A signal ended the run between two steps; everything up to there is stored."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def unknown_name(what: str, given: str, allowed: Iterable[str]) -> UsageError:
    """A `UsageError` for a name that is not among `allowed`, naming near matches or all of a short list."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names[:40])}"
    return UsageError(f"unknown {what} {given!r}; {hint}")
