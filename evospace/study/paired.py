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
    """What a study of the space's size says of one method at one length of training, or at all together."""

    method: str
    length: int | None
    """`None` for the mean over all lengths of the study, of each seed that has a value at every one of them."""
    growth: Difference | None
    """Accuracy in the largest space less that in the smallest, of the seeds that have both."""
    behind: Difference | None
    """nse's accuracy less the method's, the mean over the sizes that both have. `None` for nse.

    Of the seeds that have all of those sizes for both.
    """
    behind_in_largest: Difference | None
    """The same in the largest space alone."""


Tested = Mapping[int, Mapping[int, float]]
"""Tested accuracies in per cent by seed and operations per block."""


def effects(found: Iterable[Finished], order: Sequence[str]) -> list[Effect]:
    """By length and method, methods as in `order`; where there are several lengths, all together come last."""
    tested = dict[int, dict[str, dict[int, dict[int, float]]]]()
    for job in found:
        if job.result is not None:
            seeds = tested.setdefault(job.length, {}).setdefault(job.variant, {})
            seeds.setdefault(job.seed, {})[job.operations] = 100 * job.result["top1"]
    sizes = {size for methods in tested.values() for seeds in methods.values() for by in seeds.values() for size in by}
    places = {name: i for i, name in enumerate(order)}

    def of_lengths(length: int | None, together: Sequence[Mapping[str, Tested]]) -> list[Effect]:
        methods = {name for methods in together for name in methods}
        return [
            _effect(name, length, [(methods.get(REFERENCE, {}), methods.get(name, {})) for methods in together], sizes)
            for name in sorted(methods, key=lambda name: (places.get(name, len(places)), name))
        ]

    rows = [effect for length in sorted(tested) for effect in of_lengths(length, [tested[length]])]
    return rows + (of_lengths(None, list(tested.values())) if len(tested) > 1 else [])


def _effect(method: str, length: int | None, pairs: Sequence[tuple[Tested, Tested]], sizes: Set[int]) -> Effect:
    """Of nse's and the method's accuracies, a pair for each length."""
    small, large = min(sizes), max(sizes)
    pairs = [({} if method == REFERENCE else ours, theirs) for ours, theirs in pairs]
    return Effect(
        method=method,
        length=length,
        growth=_mean([_growth(theirs, small, large) for _, theirs in pairs]) if small < large else None,
        behind=_mean([_behind(ours, theirs, sizes) for ours, theirs in pairs]),
        behind_in_largest=_mean([_behind(*pair, {large}) for pair in pairs]) if small < large else None,
    )


def of_whole_seeds(found: Iterable[Finished]) -> list[Finished]:
    """Of each method and length the results of the seeds that have one at every size, so that a line compares like with
    like; all of its results where no seed has every size.
    """
    by = dict[tuple[str, int], dict[int, list[Finished]]]()
    for job in found:
        if job.result is not None:
            by.setdefault((job.variant, job.length), {}).setdefault(job.seed, []).append(job)
    kept: list[Finished] = []
    for seeds in by.values():
        sizes = {job.operations for jobs in seeds.values() for job in jobs}
        whole = [jobs for jobs in seeds.values() if len(jobs) == len(sizes)]
        kept += [job for jobs in whole or seeds.values() for job in jobs]
    return kept


def _mean(by_length: Sequence[Mapping[int, float]]) -> Difference | None:
    """Over the lengths, of the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(values) for values in by_length)))
    return difference([statistics.fmean(values[seed] for values in by_length) for seed in seeds])


def _growth(seeds: Tested, small: int, large: int) -> dict[int, float]:
    return {seed: by[large] - by[small] for seed, by in seeds.items() if small in by and large in by}


def _behind(ours: Tested, theirs: Tested, sizes: Set[int]) -> dict[int, float]:
    shared = {s: ours[s].keys() & theirs[s].keys() & sizes for s in ours.keys() & theirs.keys()}
    every = set[int]().union(*shared.values())
    whole = [s for s, both in shared.items() if both and both == every]
    return {s: statistics.fmean(ours[s][n] - theirs[s][n] for n in every) for s in whole}
