"""Steady times on a machine that is not: everything in turn, pass after pass, and only while the machine is quiet.

On a shared machine a neighbour doubles every time for seconds, and a median over such a minute says little (on the
2-core machine of docs/results/cost-and-latency.md two halves of one series differed by 38 %, their fastest passes by
4 %). So a sample counts only where a reference network, timed just before and after it, ran as fast as it can; and an
item is timed until its fastest samples agree.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from evospace.cost.latency_table import Timing
from evospace.profiling.runtimes import Run

Key = TypeVar("Key")
BLOCK = 0.004
"""Seconds that one sample runs at least: short, so that it fits between two disturbances."""
QUIET = 1.08
"""A sample counts where the reference took at most this many times its best."""
AGREE, WITHIN = 3, 0.02
"""The time is the median of the three fastest samples, once these lie within 2 %."""
MIN_PASSES, MAX_PASSES = 5, 60
REFERENCE_SECONDS = 3.0
"""How long the reference is run to find its best."""


@dataclass(kw_only=True)
class Watch:
    """Times calls while the machine is as fast as it was when `reference` was fastest."""

    reference: Run
    best: float = 0.0
    """Seconds; 0 until it is known."""
    clock: Callable[[], float] = time.perf_counter
    _repeats: int = field(default=1, init=False)

    def warm_up(self) -> float:
        """Find the reference's best time; returns the best of now, in seconds, which may be above `best`."""
        self.reference()
        first = self._once(self.reference, 3)
        end = self.clock() + REFERENCE_SECONDS
        self._repeats = max(1, round(BLOCK / 4 / first))
        best = self._once(self.reference, self._repeats)
        while self.clock() < end:
            best = min(best, self._once(self.reference, self._repeats))
        self.best = min(best, self.best or best)
        return best

    def sample(self, run: Run) -> tuple[float, float]:
        """Seconds of one call, and of the reference (the slower of before and after)."""
        run()
        before = self._once(self.reference, self._repeats)
        seconds = self._once(run, 1)
        if seconds < BLOCK / 2:
            seconds = self._once(run, round(BLOCK / seconds))
        after = self._once(self.reference, self._repeats)
        self.best = min(self.best or before, before, after)
        return seconds, max(before, after)

    def _once(self, run: Run, repeats: int) -> float:
        start = self.clock()
        for _ in range(repeats):
            run()
        return max((self.clock() - start) / repeats, 1e-9)


def time_in_turn(
    runs: Mapping[Key, Run], watch: Watch, *, on_pass: Callable[[int, int], None] = lambda settled, total: None
) -> dict[Key, Timing]:
    """The time of every call, each timed once a pass until it is settled.

    An item that never settles (a machine that is never quiet) gets the median of its fastest samples all the same; its
    `spread` tells. `on_pass` hears how many are settled, of how many.
    """
    samples: dict[Key, list[tuple[float, float]]] = {key: [] for key in runs}
    for number in range(MAX_PASSES):
        left = [key for key in runs if number < MIN_PASSES or not settled(samples[key], watch.best)]
        if not left:
            break
        for key in left:
            samples[key].append(watch.sample(runs[key]))
        on_pass(sum(settled(s, watch.best) for s in samples.values()), len(samples))
    return {key: timing_of(found, watch.best) for key, found in samples.items()}


def _fastest(samples: list[tuple[float, float]], best: float) -> list[float]:
    quiet = sorted(seconds for seconds, reference in samples if reference <= QUIET * best)
    return quiet[:AGREE] if len(quiet) >= AGREE else []


def settled(samples: list[tuple[float, float]], best: float) -> bool:
    """Whether the fastest quiet samples agree."""
    fastest = _fastest(samples, best)
    return bool(fastest) and fastest[-1] <= (1 + WITHIN) * fastest[0]


def timing_of(samples: list[tuple[float, float]], best: float) -> Timing:
    """The median of the fastest quiet samples.

    Where there are not enough, that of the fastest of all; its spread is at least by how much the reference was slower
    than its best, for the samples of a machine that is slow throughout agree.
    """
    fastest, slower = _fastest(samples, best), 0.0
    if not fastest:
        fastest = sorted(seconds for seconds, _ in samples)[:AGREE]
        slower = min(reference for _, reference in samples) / best - 1
    spread = max(fastest[-1] / fastest[0] - 1, slower)
    return Timing(ns=round(1e9 * statistics.median(fastest)), spread=spread, passes=len(samples))
