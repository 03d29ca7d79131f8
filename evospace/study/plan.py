"""Settings of a study -> its jobs, each one search. Pure; no torch here."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import evospace.strategies  # noqa: F401  (registers them)
from evospace.config import SearchConfig
from evospace.errors import UsageError, unknown_name
from evospace.ops.pools import pool_names
from evospace.strategies.strategy import STRATEGIES
from evospace.study.settings import MOST, StudySettings, listed, numbers, words

TOLERANCE = 0.05
"""How far the training images of a method may be from what was asked for: a whole number of epochs in each round seldom
comes to exactly the same. Two methods may lie on either side of it."""
REFERENCE = "nse"
"""Whose estimated seconds are given to every strategy with `--equal seconds`."""
BASE = "base"
PUBLISHED: Mapping[str, Any] = {
    "weights": "fresh",
    "initial_weights": "independent",
    "initial_gates": "uniform",
    "train_gates": "uniform",
    "fitness_pairs": "unconditional",
}
"""The paper's settings where our defaults are others. Departures that are no settings (clipped gradients, the refill
rule, ...: docs/method.md) stay."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    "single-branch": {"branches": "single"},
    "no-lock": {"lock": False},
    "no-rehearse": {"rehearse": False},
    "no-lock-no-rehearse": {"lock": False, "rehearse": False},
    "no-pruning": {"prune_threshold": -1000.0},  # the lowest that is allowed; no fitness falls so far
    "fresh": {"weights": "fresh"},
    "independent": {"initial_weights": "independent"},
    "initial-gates-uniform": {"initial_gates": "uniform"},
    "best-only": {"inherit_from": "best"},
    "evolution": {"sampling": "evolution"},
    "k3": {"candidates": 3},
    "k8": {"candidates": 8},
    "refill-even": {"refill": "even"},
    "gates-uniform": {"train_gates": "uniform"},
    "gates-fitness": {"train_gates": "fitness"},
    "pairs-unconditional": {"fitness_pairs": "unconditional"},
    "published": PUBLISHED,
}
"""The ablations of NSE: what each changes."""
COMPARED: Mapping[str, Mapping[str, Any]] = {
    **{name: {"strategy": name} for name in STRATEGIES},
    "nse-single": VARIANTS["single-branch"],
    "nse-published": PUBLISHED,
}
"""What a study of the space's size compares."""
FURTHER: Mapping[str, Mapping[str, Any]] = {
    "darts-second-order": {"strategy": "darts", "darts_order": 2},
    "shrinking-by-fitness": {"strategy": "shrinking", "shrink_by": "fitness"},
    "shrinking-one-shot": {"strategy": "shrinking", "then": "one-shot"},
    "spos-multi": {"strategy": "spos", "branches": "multi"},
    "random-multi": {"strategy": "random", "branches": "multi"},
    "random-draw-single": {"strategy": "random-draw", "branches": "single"},
    "nse-evolution": VARIANTS["evolution"],
    "nse-single-evolution": {**VARIANTS["single-branch"], **VARIANTS["evolution"]},
}
"""More forms, each the other choice of a setting, compared where they are named: not among all."""
_READ_BY_SOME = ("candidates", "refill", "weights", "train_gates", "fitness_pairs")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One search, its best network retrained and tested."""

    variant: str
    """The strategy, or what an ablation changes."""
    operations: int
    """Per block."""
    length: int
    seed: int
    rounds: int
    """So many the strategy takes."""
    config: SearchConfig
    """With the epochs per round that make the training images equal."""

    @property
    def key(self) -> str:
        """`nse-n27-x2-s0`, of which there is one in a study."""
        return f"{self.variant}-n{self.operations}-x{self.length}-s{self.seed}"


def plan_jobs(settings: StudySettings) -> list[Job]:
    """All jobs, one seed of everything before the next, and the shorter trainings of a seed first.

    Raises `UsageError` for a strategy or a pool that is not known, more operations than the pool has, or total epochs
    that a whole number of epochs in each round does not come near to.
    """
    variants = _variants(settings)
    sizes = numbers("operations", settings.operations, MOST)
    sizes = (max(sizes),) if settings.kind == "ablation" else sizes
    pool = len(pool_names(settings.pool, (), se=False))
    if max(sizes) > pool:
        raise UsageError(
            f"--operations {max(sizes)}: pool {settings.pool} has {pool}; give at most so many, or a larger --pool"
        )
    lengths = sorted(numbers("lengths", settings.lengths, 1_000))
    jobs = [
        _job(settings, name, changes, size, length, seed)
        for seed in range(settings.seeds)
        for length in lengths
        for size in sizes
        for name, changes in variants.items()
    ]
    if settings.equal == "images":
        _require_equal(settings, jobs, lengths)
    return jobs


def _variants(settings: StudySettings) -> Mapping[str, Mapping[str, Any]]:
    unread = "strategies" if settings.kind == "ablation" else "variants"
    if {*words(getattr(settings, unread))} - {"all"}:
        raise UsageError(f"--{unread} has no effect with {settings.kind}; leave it out")
    if settings.kind == "ablation":
        return {BASE: VARIANTS[BASE], **_chosen("variants", "variant", settings.variants, VARIANTS)}
    return _chosen("strategies", "strategy", settings.strategies, COMPARED, FURTHER)


def _chosen(
    setting: str,
    what: str,
    text: str,
    everything: Mapping[str, Mapping[str, Any]],
    further: Mapping[str, Mapping[str, Any]] = {},
) -> Mapping[str, Mapping[str, Any]]:
    """The named ones, `all` being `everything`; raises `UsageError` for a name that is not known, or none at all."""
    known = {**everything, **further}
    asked = [tuple(everything) if word == "all" else (word,) for word in words(text)]
    names = tuple(dict.fromkeys(name for part in asked for name in part))
    if not names:
        raise UsageError(f"--{setting} is empty; known: {', '.join(known)}, or all")
    for name in names:
        if name not in known:
            raise unknown_name(what, name, known)
    return {name: known[name] for name in names}


def _job(
    settings: StudySettings, name: str, changes: Mapping[str, Any], operations: int, length: int, seed: int
) -> Job:
    strategy = STRATEGIES[changes.get("strategy", REFERENCE)]
    own = {name: getattr(settings, name) for name in _READ_BY_SOME if name in strategy.honours}
    if strategy.rule(SearchConfig(**changes)) != "nse":  # it learns no fitness
        own.pop("fitness_pairs", None)
        if settings.train_gates == "fitness":
            own.pop("train_gates", None)
    config = SearchConfig(
        **{
            "strategy": REFERENCE,
            "data": settings.data,
            "data_dir": settings.data_dir,
            "image_size": settings.image_size,
            "flip": settings.flip,
            "budget": settings.budget,
            "pool": settings.pool,
            "operations": operations,
            "skeleton": settings.skeleton,
            "seed": seed,
            "batch_size": settings.batch_size,
            "lr": settings.lr,
            "calibration_batches": settings.calibration_batches,
            "initial_weights": settings.initial_weights,
            "initial_gates": settings.initial_gates,
            "device": settings.device,
            **own,
            **changes,
        }
    )
    rounds = rounds_of(config)
    total = settings.epochs * length
    samples = settings.samples // rounds if strategy.scores_every_round else settings.samples
    if strategy.rule(config) is None:
        total = 1  # its training decides nothing: what it finds is retrained like any other
    return Job(
        variant=name,
        operations=operations,
        length=length,
        seed=seed,
        rounds=rounds,
        config=_with(config, epochs=max(1, round(total / rounds)), samples=max(1, samples)),
    )


def rounds_of(config: SearchConfig) -> int:
    """How many rounds a search takes."""
    return STRATEGIES[config.strategy].rounds(config.operations, config)


def reference_of(job: Job, settings: StudySettings) -> SearchConfig:
    """The search whose estimated seconds `job` is given with `--equal seconds`."""
    changes = VARIANTS[BASE] if settings.kind == "ablation" else {"strategy": REFERENCE}
    return _job(settings, REFERENCE, changes, job.operations, job.length, job.seed).config


def scaled_epochs(epochs: int, seconds: float, reference: float) -> int:
    """Epochs per round whose estimated training takes `reference` seconds where `epochs` take `seconds`.

    0 seconds stand for a search that trains no supernet: the epochs stay.
    """
    return epochs if not seconds or not reference else max(1, round(epochs * reference / seconds))


def _with(config: SearchConfig, **changes: Any) -> SearchConfig:
    return SearchConfig(**(config.to_dict() | changes))


def off_by(total: int, rounds: int) -> float:
    """Relative error of `rounds` times the nearest whole number of epochs per round."""
    return abs(max(1, round(total / rounds)) * rounds - total) / total


def _require_equal(settings: StudySettings, jobs: Iterable[Job], lengths: Iterable[int]) -> None:
    """Raise `UsageError` where some method would see 5 % more or fewer training images than asked for."""
    rounds = sorted({job.rounds for job in jobs})
    lengths = list(lengths)
    bad = next(((r, n) for n in lengths for r in rounds if off_by(settings.epochs * n, r) > TOLERANCE), None)
    if bad is None:
        return
    near = _totals(settings.epochs, rounds, lengths)
    total = settings.epochs * bad[1]
    raise UsageError(
        f"--epochs {settings.epochs}: {total} epochs in {bad[0]} rounds are {max(1, round(total / bad[0]))} each,"
        f" {max(1, round(total / bad[0])) * bad[0]} in all, more than 5 % off, so that methods would not see the same"
        f" number of images; totals that do for rounds {listed(rounds)}: {', '.join(map(str, near))}"
    )


def _totals(epochs: int, rounds: list[int], lengths: list[int]) -> list[int]:
    """The nearest total that does below `epochs`, where there is one, and the two nearest above it."""
    last = epochs + 2 * math.lcm(*rounds)

    def does(total: int) -> bool:
        return all(off_by(total * n, r) <= TOLERANCE for n in lengths for r in rounds)

    def above() -> Iterator[int]:
        return (total for total in range(epochs + 1, last + 1) if does(total))

    below = next((total for total in range(epochs - 1, 0, -1) if does(total)), None)
    first = above()
    return [total for total in (below, next(first, None), next(first, None)) if total is not None]
