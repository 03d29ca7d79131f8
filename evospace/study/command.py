"""Does the jobs of a study that are left, several at a time; any number of times, and from several processes."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evospace.errors import BudgetError
from evospace.report.plan_lines import duration
from evospace.retraining.config import recipe_alone
from evospace.runs.contents import compare_contents
from evospace.study.directory import StudyDirectory, drop_large
from evospace.study.jobs import do_jobs
from evospace.study.plan import Job, plan_jobs
from evospace.study.settings import StudySettings, again

Say = Callable[[str], None]


def run_study(settings: StudySettings, say: Say = print) -> int:
    """Do what is left to do of a study; returns how many jobs are left.

    Raises `UsageError` for settings that cannot be used, or others than those of the study in `--out`, and `DataError`
    for other images; what the data, the budget and the first search need is looked at before a folder is made.
    """
    from evospace.devices import device_of  # loads torch

    settings.check_required()
    device_of(settings.device)
    jobs = plan_jobs(settings)
    recipe_alone(settings.recipe)
    study = StudyDirectory(Path(settings.out))
    study.open(settings, _check_first(jobs) if study.settings() is None else {})
    stored = study.database.done()
    for key in stored:
        drop_large(study.job(key))  # it may have been killed between storing its row and this
    left = {job.key: job for job in jobs if job.key not in stored}
    if left and (begun_with := study.contents()):
        compare_contents(study.path, begun_with, _images(jobs[0]))
    say(f"{len(jobs)} jobs of {settings.kind} in {study.path}, {len(left)} to do; {_equality(settings)}")
    _do(settings, study, left, len(jobs), say)
    stored = study.database.done()
    open_ = [job for job in jobs if job.key not in stored]
    if open_:
        say(f"{len(jobs) - len(open_)} of {len(jobs)} jobs are done; go on with: {again(settings.kind, settings.out)}")
    say(f"see what they came to: evospace study report {shlex.quote(settings.out)}")
    return len(open_)


def _do(settings: StudySettings, study: StudyDirectory, left: dict[str, Job], total: int, say: Say) -> None:
    from evospace.study.worker import DoJob  # loads torch

    done = total - len(left)

    def told(key: str) -> str:
        nonlocal done
        found = study.database.finished().get(key)
        if found is None:
            return ""
        done += 1
        result = found.result
        took = f"{100 * result['top1']:.2f} % in {duration(result['wall_seconds'])}" if result else ""
        return f"[{done}/{total}] {key}: {took or f'failed: {found.failure}'}"

    do_jobs(
        {key: DoJob(settings, job) for key, job in left.items()},
        told,
        say,
        folder=study.jobs,
        jobs=settings.jobs,
        minutes=settings.minutes,
        module="evospace.study.worker",
        what="the study",
        noun="job",
        again=again(settings.kind, settings.out),
    )


def _equality(settings: StudySettings) -> str:
    if settings.equal == "seconds":
        return "each method trains its supernet for about the seconds that nse's is estimated to take"
    return f"each method's supernet sees the images of {settings.epochs} epochs (times the length), within 5 %"


def _images(job: Job) -> Mapping[str, str]:
    """What the images are now, part by part."""
    from evospace.experiment import load_images  # loads torch

    return load_images(job.config, "cpu").contents


def _check_first(jobs: Sequence[Job]) -> Mapping[str, str]:
    """Find what is wrong with data or settings before anything is made; returns what the images are, part by part.

    A budget out of reach of a job's part of the pool is a result; out of reach of the whole pool, whether one operation
    a block is allowed or several, `BudgetError`.
    """
    from evospace.experiment import prepare  # loads torch
    from evospace.problem import branches_of

    try:
        return prepare(replace(jobs[0].config, device="cpu")).data.contents
    except BudgetError:
        errors = []
        for config in {branches_of(job.config): job.config for job in jobs}.values():
            try:
                return prepare(replace(config, device="cpu", operations=0)).data.contents
            except BudgetError as error:
                errors.append(error)
        raise errors[0] from None
