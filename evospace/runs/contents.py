"""What a run was begun with, besides its settings: software, machine, data, the user's operations."""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evospace.errors import DataError, MissingImagesError, printable
from evospace.reading import read_json

LARGEST = 1 << 24
"""No `environment.json` is larger than this many bytes."""
_PACKAGES = ("evospace", "torch", "torchvision", "numpy", "moocore", "safetensors")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The images that a network was searched or trained on; empty where nothing is known."""

    data: str = ""
    """The data set, or the folder as it was named then."""
    place: str = ""
    """`place_of` the folder."""
    test: str = ""
    """`hash_of_test` of its contents: the files of a folder that were left for the test."""
    flip: bool = True
    """Whether they may be mirrored, as far as is known."""

    def to_json(self) -> dict[str, str | bool]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Origin":
        """The inverse of `to_json`; raises `TypeError` for another form."""
        if not isinstance(data, dict) or not all(type(v) is (bool if k == "flip" else str) for k, v in data.items()):
            raise TypeError("an origin holds texts, and whether images may be mirrored")
        return cls(**data)

    def is_of(self, given: str) -> bool:
        """Whether `--data` `given`, if any, names these images, however it is spelled and wherever from."""
        here = place_of(given)
        if here and self.place and not Path(self.data).is_absolute():  # the same name is another folder elsewhere
            return here == self.place
        return given in ("", self.data) or (here != "" and here in (self.place, place_of(self.data)))

    @property
    def gone(self) -> bool:
        """Whether it is a folder that is certainly not there any more; of a relative name nobody can tell."""
        return self.place != "" and Path(self.data).is_absolute() and not place_of(self.data)

    def require_test(self, given: str, name: str, contents: Mapping[str, str]) -> None:
        """Raise `DataError` where `given` names these images, and what is left for the test of them has changed."""
        if self.test and self.is_of(given) and hash_of_test(contents) != self.test:
            raise DataError(
                f"{name}: its test images are not those that the search or training of the network left alone, so that"
                " it may have seen some; restore the images, or train on other ones with --data"
            )

    def doubt(self, given: str, name: str, contents: Mapping[str, str]) -> str:
        """Why an image of this folder's may be tested on although the network has seen it; empty where none may.

        `given`, called `name`, is a folder that the seed divides: if it is this one, moved and changed, then anew.
        """
        moved = bool(self.place) and not self.is_of(given) and place_of(self.data) != self.place
        if not moved or hash_of_test(contents) == self.test:
            return ""
        return (
            f"warning: {name} has no test/, so that a part of it is drawn for the test; if these are the images of"
            f" {printable(self.data)}, moved and changed, the network may have been searched or trained on that part"
        )


UNKNOWN = Origin()
"""Of a network that was never trained, or of which it is not told."""


def place_of(name_or_dir: str) -> str:
    """Tells a folder again from wherever it is named, by a hash of its path; empty for what is no folder."""
    try:
        path = Path(name_or_dir).expanduser()
        return hashlib.sha256(bytes(path.resolve())).hexdigest()[:16] if name_or_dir and path.is_dir() else ""
    except (OSError, RuntimeError, ValueError):  # a name that no file can have, or ~name of a user who is not known
        return ""


@contextmanager
def where_they_lie_now(of: str) -> Iterator[None]:
    """Add to an error of images that are not there what helps where they are those `of` a run or network, if any."""
    try:
        yield
    except MissingImagesError as error:
        if not of:
            raise
        hint = f"put the images of {of} back there, or tell search, retrain or evaluate with --data where they lie now"
        raise MissingImagesError(f"{error}; {hint}") from error


def hash_of_test(contents: Mapping[str, str]) -> str:
    """A hash of the files that are left for the test in each class of a folder; empty for a named data set."""
    parts = {part: files for part, files in contents.items() if part.startswith("test ") and part != "test images"}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16] if parts else ""


def environment(threads: int) -> dict[str, Any]:
    """The software and machine a run used, and the number of threads, in whose order numbers are added."""
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": threads,
    }
    return machine | {"packages": {name: version(name) for name in _PACKAGES}}


def require_contents(run: Path, contents: Mapping[str, str]) -> None:
    """Raise `DataError`, listing what differs, where `run` was begun on other data or with other operations."""
    compare_contents(run, read_contents(run), contents)


def compare_contents(run: Path, old: Mapping[str, str], contents: Mapping[str, str]) -> None:
    """Raise `DataError`, listing what differs between the two."""
    keys = [key for key in {**old, **contents} if old.get(key) != contents.get(key)]
    if keys:
        lines = [f"{key}: {old.get(key, 'absent')} -> {contents.get(key, 'absent')}" for key in keys[:5]]
        more = f"; and {len(keys) - 5} more" if len(keys) > 5 else ""
        networks = all(key.startswith(("network ", "first weights ")) for key in keys)
        what = "the networks or their first weights" if networks else "the data or the operations"
        raise DataError(
            f"{what} are not what {run} was begun with ({'; '.join(lines)}{more}); restore them, or begin anew in"
            " another --out"
        )


def read_contents(run: Path) -> dict[str, str]:
    """The contents that `environment.json` of a run names; raises `DataError` where it is missing or damaged."""
    path = run / "environment.json"
    try:
        return {str(k): str(v) for k, v in read_json(path, LARGEST)["contents"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"{path}: missing or damaged ({error})"
        raise DataError(f"{text}; put it back from a copy: it tells what data the run saw") from error


def read_place(run: Path) -> str:
    """Where the images of a run lie (`place_of`); empty where its `environment.json` does not tell."""
    try:
        place = read_json(run / "environment.json", LARGEST).get("place", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return place if isinstance(place, str) else ""
