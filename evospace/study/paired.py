"""Paired differences over seeds: what a larger space does to each method, and how far each lies from nse. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from scipy.stats import t as student

from evospace.study.database import Finished
from evospace.study.plan import REFERENCE

CONFIDENCE = 0.95
"""Of the interval around a mean difference."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Accuracies less others of the same seed: percentage points."""

    mean: float
    spread: float | None
    """Standard deviation; `None` for one seed."""
    half_width: float | None
    """Of the 95 % interval of the mean by Student's t; `None` for one seed."""
    values: tuple[float, ...]


def difference(values: Sequence[float]) -> Difference | None:
    """Mean and interval of percentage points, one for each seed; `None` for none."""
    if not values:
        return None
    n = len(values)
    spread = statistics.stdev(values) if n > 1 else None
    quantile = float(student.ppf(0.5 + CONFIDENCE / 2, n - 1)) if n > 1 else 0.0
    half_width = None if spread is None else quantile * spread / n**0.5
    return Difference(mean=statistics.fmean(values), spread=spread, half_width=half_width, values=tuple(values))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a study of the space's size says of one method at one length of training."""

    method: str
    length: int
    growth: Difference | None
    """Accuracy in the largest space less that in the smallest, of the seeds that have both."""
    behind: Difference | None
    """nse's accuracy less the method's: of each seed the mean over the sizes that both have. `None` for nse."""
    behind_in_largest: Difference | None
    """The same in the largest space alone."""


def effects(found: Iterable[Finished], order: Sequence[str]) -> list[Effect]:
    """By length and method, methods as in `order`."""
    tested = dict[tuple[int, str], dict[int, dict[int, float]]]()
    for job in found:
        if job.result is not None:
            seeds = tested.setdefault((job.length, job.variant), {})
            seeds.setdefault(job.seed, {})[job.operations] = 100 * job.result["top1"]
    sizes = {size for seeds in tested.values() for by_size in seeds.values() for size in by_size}
    small, large = min(sizes, default=0), max(sizes, default=0)
    places = {name: i for i, name in enumerate(order)}
    rows = []
    for (length, method), seeds in sorted(
        tested.items(), key=lambda item: (item[0][0], places.get(item[0][1], len(places)), item[0][1])
    ):
        ours = tested.get((length, REFERENCE), {}) if method != REFERENCE else {}
        rows.append(
            Effect(
                method=method,
                length=length,
                growth=_growth(seeds, small, large) if small < large else None,
                behind=_behind(ours, seeds, sizes),
                behind_in_largest=_behind(ours, seeds, {large}) if small < large else None,
            )
        )
    return rows


def _growth(seeds: Mapping[int, Mapping[int, float]], small: int, large: int) -> Difference | None:
    return difference([by[large] - by[small] for _, by in sorted(seeds.items()) if small in by and large in by])


def _behind(
    ours: Mapping[int, Mapping[int, float]], theirs: Mapping[int, Mapping[int, float]], sizes: Set[int]
) -> Difference | None:
    shared = {s: ours[s].keys() & theirs[s].keys() & sizes for s in sorted(ours.keys() & theirs.keys())}
    return difference([statistics.fmean(ours[s][n] - theirs[s][n] for n in both) for s, both in shared.items() if both])
