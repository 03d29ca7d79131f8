"""Errors a user can mend, each with the exit code the command line gives it."""

import difflib
import re
from collections.abc import Iterable

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line breaks, marks that turn the writing direction, and bytes that are no UTF-8 (surrogates)."""


def printable(text: object) -> str:
    """`text` on one line that any terminal and any file takes: what cannot be shown is escaped as in Python."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), str(text))


def reason(error: BaseException) -> str:
    """What went wrong, without the file's name: that stands in the message already."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


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


class NotFiniteError(DataError):
    """A stored network that gives outputs which are not finite."""


class MissingImagesError(UsageError):
    """What is named is neither a known data set nor a folder that is there."""


class MissingOperationError(UsageError):
    """A stored network has a user's operation whose file was not given."""


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
