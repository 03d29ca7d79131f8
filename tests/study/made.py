"""Finished jobs with chosen accuracies, and the flags of a study that takes seconds."""

from typing import Any

from evospace.study.database import Finished
from evospace.study.plan import Job, plan_jobs
from evospace.study.settings import StudySettings

QUICK = ["--data", "digits", "--budget", "macs=0.15M", "--epochs", "1", "--samples", "4", "--batch-size", "512"]
QUICK += ["--calibration-batches", "1", "--operations", "5", "--seeds", "1", "--retrain-epochs", "1"]
QUICK += ["--retrain-batch-size", "512", "--strategies", "nse,random-draw", "--jobs", "2"]


def settings(**changes: Any) -> StudySettings:
    """Of a study on digits."""
    return StudySettings(**{"data": "digits", "budget": "macs=0.15M", "out": "nowhere", **changes})


def a_job(**changes: Any) -> Job:
    """The only job of a study."""
    (job,) = plan_jobs(settings(strategies="nse", operations="5", seeds=1, **changes))
    return job


def result(top1: float, **changes: Any) -> dict[str, Any]:
    """What a job came to."""
    return {
        "top1": top1,
        "score": top1 - 0.1,
        "images": 1000,
        "scored": 126,
        "train_seconds": 10.0,
        "score_seconds": 2.0,
        "retrain_seconds": 5.0,
        "peak_bytes": 100 * 2**20,
        "peak_gpu_bytes": 0,
        "wall_seconds": 20.0,
        **changes,
    }


def finished(variant: str, seed: int, top1: float | None, operations: int = 5, length: int = 1) -> Finished:
    """A job; without an accuracy, one that failed."""
    return Finished(
        key=f"{variant}-n{operations}-x{length}-s{seed}",
        variant=variant,
        operations=operations,
        length=length,
        seed=seed,
        settings={},
        result=None if top1 is None else result(top1),
        failure="out of the budget" if top1 is None else None,
    )
