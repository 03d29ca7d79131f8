"""What a search will cost and whether its budget can be met: told before anything is trained."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from evospace.cost.budget import Budget
from evospace.devices import peak_bytes
from evospace.report.figures import draw_space
from evospace.report.plan_lines import Forecast, SpaceReport
from evospace.sampling.budget import WindowSampler, log_count
from evospace.sampling.gates import initial_probabilities
from evospace.sampling.limits import keeps
from evospace.seeding import numpy_generator
from evospace.space.search_space import SearchSpace
from evospace.strategies.contract import Problem, RuleName
from evospace.strategies.ledger import pairs_of
from evospace.strategies.queues import first_active, reach, shuffled
from evospace.supernet.supernet import SuperNet
from evospace.training.supernet_trainer import Progressed
from evospace.workbench import Workbench

STEPS, SECONDS = 24, 2.0
"""Steps that are timed at most, and the time after which they are enough (never fewer than four)."""
SCORED = 3
"""Architectures that are scored to time it."""
BINS = 20_000
"""Cost bins for the mass and the count of the window: enough for an exponent, unless the window fits between two."""
DRAWN = 1000
"""Architectures whose median cost stands for the space's, and of those in the budget that may keep further limits."""


def report_space(problem: Problem, seed: int) -> SpaceReport:
    """Size, costs and the budget's part of a space."""
    space = replace(problem.full, gates="uniform")
    gates = initial_probabilities(space)
    rng = numpy_generator(seed, "forecast")
    low, high = problem.table.bounds(space)
    everything = Budget(metric=problem.table.metric, low=low, high=high)
    drawn = WindowSampler(space, problem.table, everything, gates, bins=BINS).draw(DRAWN, rng)
    costs = sorted(map(problem.table.cost, drawn))
    inside = log_count(space, problem.table, problem.budget, bins=BINS)
    bins = None if math.isinf(inside) else BINS
    if bins is None:  # the budget lies between two bins
        inside = log_count(space, problem.table, problem.budget)
    sampler = WindowSampler(space, problem.table, problem.budget, gates, bins=bins)
    kept = DRAWN
    if problem.limits:  # of what the search draws at the start: its gates may be others than uniform ones
        own = WindowSampler(problem.full, problem.table, problem.budget, initial_probabilities(problem.full), bins=bins)
        kept = sum(keeps(a, problem.upper) for a in own.draw(DRAWN, rng))
    return SpaceReport(
        log10_size=space.log10_size(),
        low=low,
        median=costs[len(costs) // 2],
        high=high,
        log10_inside=_log10(inside),
        log10_mass=_log10(sampler.log_mass),
        accepted=kept / DRAWN,
    )


def _log10(natural: float) -> float | None:
    """`None` where the budget lies between two of the finest bins, which hold none of what is in it."""
    return None if math.isinf(natural) else natural / math.log(10)


def forecast(
    bench: Workbench,
    rule: RuleName,
    sizes: Sequence[int],
    scores: Sequence[int],
    done: int,
    check: Callable[[], None] = lambda: None,
) -> Forecast:
    """Time a few steps and scores of this search, on its own images, and add up its rounds.

    `sizes`: operations per block in each round to come, after `done` ones, trained by `rule`; `scores`: how many
    architectures each scores. `check` is called after every step and may raise. Raises `UsageError` where memory runs
    out.
    """
    config = bench.config
    timed = {size: _timed(bench, rule, size, check) for size in {min(sizes), max(sizes)}}
    known = sorted(timed)
    step, one = (np.interp(sizes, known, [timed[size][i] for size in known]).tolist() for i in (0, 1))
    steps = config.epochs * (len(bench.splits.train) // bench.batch_size)
    return Forecast(
        first_round=done + 1,
        active=tuple(sizes),
        train=tuple(steps * seconds for seconds in step),
        score=tuple(count * seconds for count, seconds in zip(scores, one, strict=True)),
        other=_seconds_of_a_picture(bench.problem.full),
        memory=_peak_memory(bench.device),
    )


class _EnoughError(Exception):
    """Ends the timed steps."""


def _timed(bench: Workbench, rule: RuleName, size: int, check: Callable[[], None]) -> tuple[float, float]:
    """Seconds of a step (with its share of fitness steps) and of a score, with `size` operations per block."""
    with bench.memory_errors(1):
        return _timed_steps(bench, rule, _active(bench, size), check)


def _timed_steps(
    bench: Workbench, rule: RuleName, space: SearchSpace, check: Callable[[], None]
) -> tuple[float, float]:
    supernet = bench.supernet(0, space)
    ends: list[float] = []

    def on_step(progressed: Progressed) -> None:
        check()
        ends.append(time.monotonic())
        pairs = len(ends) % 2 == 1 and len(ends) >= 5
        if pairs and (len(ends) > STEPS or ends[-1] - ends[0] > SECONDS):
            raise _EnoughError

    start = time.monotonic()
    trainer = bench.trainer(0, space, lambda: supernet, rule, on_step=on_step, waits=False)
    with suppress(_EnoughError):
        trainer.run()
    whole = len(ends) > 2
    step = (ends[-1] - ends[0]) / (len(ends) - 1) if whole else (time.monotonic() - start) / max(len(ends), 1)
    return step, _timed_score(bench, supernet, space)


def _timed_score(bench: Workbench, supernet: SuperNet, space: SearchSpace) -> float:
    """Of architectures inside the budget; the pruned ones of the timed steps are drawn no more."""
    left = space.with_candidates(supernet.names())
    sampler = WindowSampler(left, bench.problem.table, bench.problem.budget, initial_probabilities(left), bins=BINS)
    architectures = sampler.draw(SCORED + 1, numpy_generator(bench.config.seed, "forecast-score"))
    estimator = bench.estimator(supernet, 0)
    estimator.score(architectures[0])
    start = time.monotonic()
    for architecture in architectures[1:]:
        estimator.score(architecture)
    return (time.monotonic() - start) / SCORED


def _active(bench: Workbench, size: int) -> SearchSpace:
    """The first `size` operations of every block's queue, made to reach the budget."""
    full = bench.problem.full
    queues = first_active(shuffled(full.candidates, bench.config.seed), size)
    queues, _ = reach(queues, full, bench.problem.table, bench.problem.budget, bench.problem.upper)
    return full.with_candidates(queues.active())


def _seconds_of_a_picture(full: SearchSpace) -> float:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        held, blocks = pairs_of([], full.candidates), len(full.candidates)
        draw_space(Path(folder) / "space.png", [], full.candidates[0], held, blocks)
    return 2 * (time.monotonic() - start)  # two pictures a round


def _peak_memory(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes()
