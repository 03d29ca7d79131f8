"""Look at a data set before a search: read every image once and tell everything that would stop or hurt it."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.data import findings as kinds
from evospace.data.datasets import READERS
from evospace.data.findings import Finding, Kind
from evospace.data.folders import MEMORY_LIMIT, split_layout
from evospace.data.image_data import held_out, too_few
from evospace.data.images import spread, usual_format
from evospace.data.inspect import ImageFile, Look, Step, array_looks, compare, inspect_images
from evospace.data.layout import Layout, read_layout
from evospace.data.source import find_folder, load_data, require_folder
from evospace.data.splits import InMemorySplit
from evospace.errors import UsageError, printable
from evospace.space.skeleton import make_skeleton

IMBALANCE = 10
"""A class with this many times the training images of another is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a data set holds, what a search would make of it, and what is wrong with it."""

    name: str
    counts: Mapping[str, Mapping[str, int]]
    """Of each split (`train`, `test`) the images per class, unreadable ones included."""
    modes: Mapping[str, int]
    sizes: tuple[str, ...]
    """The smallest, median and largest image, as `width x height`; empty where none could be read."""
    use: Mapping[str, Any] | None
    """What a search would use; `None` where nothing could be read."""
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops a search."""
        return tuple(finding for finding in self.findings if finding.kind.error)

    def grouped(self) -> dict[Kind, list[Finding]]:
        """The findings by kind, errors first."""
        groups: dict[Kind, list[Finding]] = {}
        for finding in sorted(self.findings, key=lambda finding: not finding.kind.error):
            groups.setdefault(finding.kind, []).append(finding)
        return groups

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        problems = [
            {"kind": kind.title, "error": kind.error, "todo": kind.todo, "found": [finding.line for finding in group]}
            for kind, group in self.grouped().items()
        ]
        known = {"data": self.name, "ok": not self.errors, "images": self.counts, "modes": self.modes}
        return known | {"sizes": self.sizes, "search": self.use, "problems": problems}


def check_data(
    name_or_dir: str, *, data_dir: Path | None = None, image_size: int = 0, workers: int = 0, step: Step | None = None
) -> CheckReport:
    """Check one of the named data sets or a folder of images; `image_size` 0 means the data set's own.

    Raises:
        UsageError: no such data set or folder, or an image size that no skeleton is meant for.
        DataError: a named data set cannot be had.
    """
    if not name_or_dir:
        raise UsageError("no folder of images is given; give one, or a data set, e.g. digits")
    if image_size:
        make_skeleton(None, image_size=image_size, image_channels=3)
    if name_or_dir in READERS:
        return _check_named(name_or_dir, data_dir, image_size)
    require_folder(data_dir)
    root, name = find_folder(name_or_dir, data_dir)
    size = image_size or (224 if name_or_dir == "imagenet" else 0)
    return _check_folder(root, name, size, workers, step or (lambda done, total: None))


def _check_named(name: str, data_dir: Path | None, image_size: int) -> CheckReport:
    data = load_data(name, data_dir=data_dir)
    looks: list[Look] = []
    for part, split in (("train", data.train), ("test", data.test)):
        assert isinstance(split, InMemorySplit)
        looks += array_looks(split, part, data.classes)
    counts = _count(data.classes, looks)
    chosen = (data.image_channels, image_size or data.image_size)
    findings = tuple(compare(looks, *chosen, split=True))
    return _report(name, counts, looks, findings, chosen, in_memory=True)


def _check_folder(root: Path, name: str, image_size: int, workers: int, step: Step) -> CheckReport:
    layout = read_layout(root)
    images = _files(layout)
    counts = _count([printable(name) for name in layout.train.images], images)
    looks, unreadable = inspect_images(images, workers, step)
    chosen = None
    findings = [*layout.findings(), *unreadable, *_numbers(root, counts["train"])]
    if looks:
        read = spread(sorted(looks, key=lambda look: str(look.where)))
        channels, own = usual_format([min(look.size) for look in read], {look.mode for look in read})
        chosen = channels, image_size or own
        findings += compare(looks, *chosen, split=layout.test is not None)
    size = len(images) * chosen[0] * chosen[1] ** 2 if chosen else 0
    return _report(name, counts, looks, tuple(findings), chosen, in_memory=size <= MEMORY_LIMIT)


def _files(layout: Layout) -> list[ImageFile]:
    """Every image of both parts, in the order in which a search would list them."""
    if layout.test:
        parts = (("train", layout.train), ("test", layout.test))
        return [
            ImageFile(part, printable(name), path)
            for part, folder in parts
            for name, paths in folder.images.items()
            for path in paths
        ]
    samples = split_layout(layout, seed=0)
    return [
        ImageFile(part, samples.classes[label], path)
        for part, files in (("train", samples.train), ("test", samples.test))
        for path, label in files
    ]


def _count(classes: Iterable[str], images: Iterable[ImageFile | Look]) -> dict[str, dict[str, int]]:
    found = Counter((image.part, image.label) for image in images)
    names = dict.fromkeys([*classes, *(label for _, label in found)])
    return {part: {name: found[part, name] for name in names} for part in ("train", "test")}


def _numbers(root: Path, train: Mapping[str, int]) -> Iterator[Finding]:
    """What is wrong with the numbers of training images."""
    if problem := too_few(sum(train.values())):
        yield Finding(kinds.TOO_FEW, root, problem)
    filled = {name: count for name, count in train.items() if count}
    if filled and max(filled.values()) > IMBALANCE * min(filled.values()):
        large, small = (pick(filled, key=filled.__getitem__) for pick in (max, min))
        detail = f"{filled[large]} training images, class {small!r} has {filled[small]}"
        yield Finding(kinds.IMBALANCE, f"class {large!r}", detail)


def _report(
    name: str,
    counts: Mapping[str, Mapping[str, int]],
    looks: Sequence[Look],
    findings: tuple[Finding, ...],
    chosen: tuple[int, int] | None,
    *,
    in_memory: bool,
) -> CheckReport:
    train, test = (sum(counts[part].values()) for part in ("train", "test"))
    use = None
    if chosen:
        held = held_out(train)
        use = {"channels": chosen[0], "image_size": chosen[1], "train": train - held, "fitness": held // 2}
        use |= {"scoring": held - held // 2, "test": test, "in_memory": in_memory}
        use["shorter_side"] = int(statistics.median(min(look.size) for look in looks)) if looks else chosen[1]
    sizes = sorted((look.size for look in looks), key=lambda size: size[0] * size[1])
    return CheckReport(
        name=name,
        counts=counts,
        modes=dict(Counter(look.mode for look in looks).most_common()),
        sizes=tuple(f"{w} x {h}" for w, h in (sizes[0], sizes[len(sizes) // 2], sizes[-1])) if sizes else (),
        use=use,
        findings=findings,
    )
