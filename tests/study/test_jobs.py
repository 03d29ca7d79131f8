"""The queue of a study or a ranking: what is said of each job, and what is raised."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from evospace.errors import DataError, EvospaceError, InterruptedRunError, UsageError
from evospace.runs.lock import claimed
from evospace.runs.processes import Work
from evospace.runs.signals import Signals
from evospace.study.jobs import do_jobs
from tests.runs.works import UntilAsked


@dataclass(frozen=True)
class Ends:
    """Leaves a result, or ends with an error or as one that was asked to end."""

    error: EvospaceError | None = None
    asked: int = 0

    def __call__(self, folder: Path, signals: Signals) -> None:
        if self.error:
            raise self.error
        if self.asked:
            raise InterruptedRunError("asked", self.asked)
        (folder / "result").touch()


def done(works: Mapping[str, Work], folder: Path, minutes: float = 0.0) -> list[str]:
    said: list[str] = []

    def told(key: str) -> str:
        return f"{key} is done" if (folder / key / "result").exists() else ""

    do_jobs(
        works,
        told,
        said.append,
        folder=folder,
        jobs=1,
        minutes=minutes,
        module="",
        what="a test",
        noun="training",
        again="evospace again",
    )
    return said


def test_what_a_job_came_to_is_said_when_it_ends(tmp_path: Path) -> None:
    assert done({"a": Ends(), "b": Ends()}, tmp_path) == ["a is done", "b is done"]


def test_one_without_a_result_is_named_and_raised_when_all_others_are_done(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^1 of 2 trainings ended without a result .* the first: a.*again by: evospace again"
    ):
        done({"a": Ends(DataError("torn")), "b": Ends()}, tmp_path)
    assert (tmp_path / "b/result").exists()
    with pytest.raises(UsageError, match="2 of 2 trainings ended"):  # not for one reason
        done({"a": Ends(DataError("torn")), "c": Ends(UsageError("full"))}, tmp_path)


@pytest.mark.parametrize("code", [130, 143])
def test_one_that_was_asked_to_end_is_no_failure(code: int, tmp_path: Path) -> None:
    assert done({"a": Ends(asked=code)}, tmp_path) == []


def test_one_that_another_process_is_at_is_counted(tmp_path: Path) -> None:
    with claimed(tmp_path / "a"):
        assert done({"a": Ends(), "b": Ends()}, tmp_path) == [
            "b is done",
            "another process is at 1 of 2 trainings",
        ]


def test_what_the_minutes_do_not_hold_is_ended_and_no_failure(tmp_path: Path) -> None:
    works = {"a": UntilAsked(), "b": UntilAsked()}
    assert done(works, tmp_path, minutes=0.02) == ["stopped after 0.02 minutes; everything is saved"]
