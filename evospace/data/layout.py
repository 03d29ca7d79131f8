"""What lies in a folder of images: classes, files, and what is wrong with them, before any image is opened."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evospace.data import findings as kinds
from evospace.data.findings import Finding
from evospace.data.images import SUFFIXES, not_a_file
from evospace.errors import reason
from evospace.reading import is_file, is_folder

READ = ("train", "test", "val")
"""The names under which parts are looked for."""
PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
"""Folders of no other names than these, in capitals or not, are meant as parts and not as classes."""


@dataclass(kw_only=True)
class Part:
    """One folder of class folders: the image files of each class, sorted, at any depth, and what was odd.

    Names that begin with a dot are left out.
    """

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)
    odd: list[Finding] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether something of it could not be entered."""
        return any(finding.kind == kinds.CLOSED_FOLDER for finding in self.odd)

    def findings(self) -> Iterator[Finding]:
        """What is wrong with this part alone."""
        yield from self.odd
        if len(self.images) < 2:
            yield Finding(kinds.NO_CLASSES, self.root, f"has {len(self.images)} class folders but needs 2 or more")
        for name in [name for name, paths in self.images.items() if not paths]:
            suffixes = " ".join(sorted(SUFFIXES))
            yield Finding(kinds.EMPTY_CLASS, self.root / name, f"class {name!r} has no images ({suffixes})")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A folder of images: a training part and a test part, or one part (`test` is `None`) that is yet to be split."""

    root: Path
    train: Part
    test: Part | None = None
    odd: tuple[Finding, ...] = ()

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong with the layout, errors and warnings."""
        yield from self.odd
        yield from self.train.findings()
        if self.test:
            yield from self.test.findings()
            yield from _only_in_one(self.train, self.test)
        elif self.train.images and all(len(paths) == 1 for paths in self.train.images.values()):
            yield Finding(kinds.TOO_FEW, self.root, "has one image per class, none is left to test on")
        else:
            yield from _of_one_image(self.train)


def _of_one_image(part: Part) -> Iterator[Finding]:
    for name in sorted(part.images):
        if len(part.images[name]) == 1:
            yield Finding(kinds.UNTESTED_CLASS, part.root / name, f"class {name!r} has one image, kept to train on")


def _only_in_one(train: Part, test: Part) -> Iterator[Finding]:
    for name in sorted(test.images.keys() - train.images.keys()):
        yield Finding(kinds.TEST_ONLY_CLASS, test.root / name, f"class {name!r} is not in {train.root}")
    for name in sorted(train.images.keys() - test.images.keys()):
        yield Finding(kinds.UNTESTED_CLASS, train.root / name, f"class {name!r} is not in {test.root}")


def read_layout(root: Path) -> Layout:
    """Look for `train/` with `test/` or `val/`, or for class folders, in `root`; opens no image."""
    train = _part(root / "train")
    if not train.images and not train.closed:  # a folder of images and nothing else is a class of that name
        part = _part(root)
        parts = [name for name in part.images if name.lower() in PARTS]
        if parts and (len(parts) == len(part.images) or ("train" in parts and len(parts) > 1)):
            part.odd.append(Finding(kinds.PARTS_AS_CLASSES, root, f"has the class folders {', '.join(part.images)}"))
        return Layout(root=root, train=part)
    held = [part for part in map(_part, (root / "test", root / "val")) if part.images or part.closed]
    others = _parts_of_other_names(root)
    if not held:
        meant = f"; rename {others[0].name}/ to val/" if others else ""
        none = Finding(kinds.NO_TEST, root, f"has train/ but no class folders in val/ or test/{meant}")
        return Layout(root=root, train=train, odd=(none,))
    unused = [*(part.root for part in held[1:]), *others]
    odd = (Finding(kinds.UNUSED_PART, path, f"{held[0].root} is tested on") for path in unused)
    return Layout(root=root, train=train, test=held[0], odd=tuple(odd))


def _parts_of_other_names(root: Path) -> list[Path]:
    """Folders that are parts by their names, and are not looked into."""
    try:
        entries = sorted(root.iterdir())
    except OSError:  # a folder that can be passed, but not listed
        return []
    return [e for e in entries if e.name not in READ and e.name.lower() in PARTS and is_folder(e)]


def share_to_test(count: int) -> int:
    """How many of a class's images become the test where there is no test part: a fifth, and one stays to train."""
    return min(count - 1, max(1, round(0.2 * count))) if count else 0


def _part(root: Path) -> Part:
    part = Part(root=root)
    try:
        entries = sorted(root.iterdir())
    except FileNotFoundError:
        entries = []
    except OSError as error:
        part.odd.append(Finding(kinds.CLOSED_FOLDER, root, reason(error)))
        entries = []
    loose = [e.name for e in entries if e.suffix.lower() in SUFFIXES and is_file(e) and not e.name.startswith(".")]
    if loose:
        part.odd.append(Finding(kinds.OUTSIDE, root, f"{len(loose)} beside the folders, {loose[0]} the first"))
    for entry in entries:
        if is_folder(entry) and not entry.name.startswith("."):
            part.images[entry.name] = sorted(_images(entry, part.odd))
        elif entry.is_symlink() and (problem := not_a_file(entry)):
            part.odd.append(Finding(kinds.NOT_A_FILE, entry, problem))
    return part


def _images(folder: Path, odd: list[Finding]) -> Iterator[Path]:
    """The image files below a class's folder; what is no file, closed or ignored is added to `odd`."""

    def closed(error: OSError) -> None:
        odd.append(Finding(kinds.CLOSED_FOLDER, error.filename, reason(error)))

    for base, folders, names in os.walk(folder, onerror=closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = (Path(base, name) for name in folders)
        odd += [Finding(kinds.LINKED_FOLDER, path, "a link to a folder") for path in linked if path.is_symlink()]
        for path in (Path(base, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() not in SUFFIXES:
                odd.append(Finding(kinds.IGNORED, path, f"suffix {path.suffix!r}"))
            elif problem := not_a_file(path):
                odd.append(Finding(kinds.NOT_A_FILE, path, problem))
            else:
                yield path
