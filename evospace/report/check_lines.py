"""What `evospace check` prints for a person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from evospace.data.check import CheckReport
from evospace.data.images import default_size
from evospace.errors import printable

FEW = 5
"""So many problems of each kind are printed, and the number of the others."""
CLASSES = 20


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, on standard error, and what moves it; elsewhere nothing is shown."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def check_lines(report: CheckReport) -> list[str]:
    """The report, line by line."""
    train, test = (sum(report.counts[part].values()) for part in ("train", "test"))
    classes = len(report.counts["train"])
    lines = [f"{printable(report.name)}: {classes} classes, {train} training images, {test} to test"]
    lines += _class_lines(report)
    if report.sizes:
        smallest, median, largest = report.sizes
        lines.append(f"sizes   smallest {smallest}, median {median}, largest {largest}")
        lines.append("modes   " + ", ".join(f"{mode} {count}" for mode, count in report.modes.items()))
    if report.use:
        use = report.use
        where = "held in memory" if use["in_memory"] else "read from disk every epoch"
        lines.append(f"search  {use['channels']} channels, {use['image_size']} pixels, {where}")
        parts = ", ".join(f"{use[part]} {what}" for part, what in _PARTS.items())
        lines.append(f"        {parts}")
        if use["image_size"] == default_size(use["shorter_side"]) != use["shorter_side"]:
            lines.append(
                f"        (the median shorter side, {use['shorter_side']}, down to a multiple of 8, at most 224;"
                " --image-size gives another)"
            )
    return [*lines, *_problem_lines(report)]


_PARTS = {"train": "to train on", "fitness": "for the fitness", "scoring": "to score by", "test": "to test"}


def _class_lines(report: CheckReport) -> list[str]:
    """Images per class and split; of many classes the smallest."""
    train, test = report.counts["train"], report.counts["test"]
    names = sorted(train, key=lambda name: train[name])[:CLASSES] if len(train) > CLASSES else list(train)
    width = max([5, *map(len, names)])
    lines = [f"{'class':<{width}}  {'train':>7}  {'test':>7}"] if names else []
    lines += [f"{name:<{width}}  {train[name]:>7}  {test[name]:>7}" for name in names]
    left = len(train) - len(names)
    return [*lines, f"... and {left} larger classes (--json lists all)"] if left else lines


def _problem_lines(report: CheckReport) -> list[str]:
    lines = []
    for kind, group in report.grouped().items():
        lines.append(f"{'error' if kind.error else 'warning'}: {kind.title} ({len(group)}): {kind.todo}")
        lines += [f"  {finding.line}" for finding in group[:FEW]]
        lines += [f"  ... and {len(group) - FEW} more"] if len(group) > FEW else []
    if not report.findings:
        return ["no problem found"]
    return lines if report.errors else [*lines, "none of this stops a search"]
