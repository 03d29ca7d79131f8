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

    Of the seeds that have all of those sizes for both. `None` where they share one size of several alone.
    """
    behind_in_largest: Difference | None
    """The same in the largest space alone."""

    score_growth: Difference | None
    """What `growth` is of the tested accuracy, of the retrained networks' scores under the search's shared weights."""


Values = Mapping[int, Mapping[int, float]]
"""Of one method at one length: per cent by seed and operations per block."""


def effects(found: Iterable[Finished], order: Sequence[str]) -> list[Effect]:
    """By length and method, methods as in `order`; where there are several lengths, all together come last."""
    done = [(job, job.result) for job in found if job.result is not None]
    tested = _collected((job, result["top1"]) for job, result in done)
    scored = _collected((job, result["score"]) for job, result in done if result["images"])  # by a supernet
    sizes = {job.operations for job, _ in done}
    places = {name: i for i, name in enumerate(order)}

    def of_lengths(length: int | None, lengths: Sequence[int]) -> list[Effect]:
        methods = {name for x in lengths for name in tested[x]}
        return [
            _effect(
                name,
                length,
                [(tested[x].get(REFERENCE, {}), tested[x].get(name, {})) for x in lengths],
                [scored.get(x, {}).get(name, {}) for x in lengths],
                sizes,
            )
            for name in sorted(methods, key=lambda name: (places.get(name, len(places)), name))
        ]

    rows = [effect for length in sorted(tested) for effect in of_lengths(length, [length])]
    return rows + (of_lengths(None, sorted(tested)) if len(tested) > 1 else [])


def _collected(values: Iterable[tuple[Finished, float]]) -> Mapping[int, Mapping[str, Values]]:
    """Fractions -> per cent, by length and method."""
    found = dict[int, dict[str, dict[int, dict[int, float]]]]()
    for job, value in values:
        seeds = found.setdefault(job.length, {}).setdefault(job.variant, {})
        seeds.setdefault(job.seed, {})[job.operations] = 100 * value
    return found


def _effect(
    method: str,
    length: int | None,
    pairs: Sequence[tuple[Values, Values]],
    scored: Sequence[Values],
    sizes: Set[int],
) -> Effect:
    """Of nse's and the method's tested accuracies, a pair for each length, and of the method's scores."""
    small, large = min(sizes), max(sizes)
    pairs = [({} if method == REFERENCE else ours, theirs) for ours, theirs in pairs]
    return Effect(
        method=method,
        length=length,
        growth=_mean([_growth(theirs, small, large) for _, theirs in pairs]) if small < large else None,
        behind=_mean([_behind(ours, theirs, sizes, least=min(len(sizes), 2)) for ours, theirs in pairs]),
        behind_in_largest=_mean([_behind(*pair, {large}) for pair in pairs]) if small < large else None,
        score_growth=_mean([_growth(values, small, large) for values in scored]) if small < large else None,
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


def _growth(seeds: Values, small: int, large: int) -> dict[int, float]:
    return {seed: by[large] - by[small] for seed, by in seeds.items() if small in by and large in by}


def _behind(ours: Values, theirs: Values, sizes: Set[int], least: int = 1) -> dict[int, float]:
    """The mean over the sizes that both have, if those are `least` or more."""
    shared = {s: ours[s].keys() & theirs[s].keys() & sizes for s in ours.keys() & theirs.keys()}
    every = set[int]().union(*shared.values())
    if len(every) < least:
        return {}
    whole = [s for s, both in shared.items() if both and both == every]
    return {s: statistics.fmean(ours[s][n] - theirs[s][n] for n in every) for s in whole}
