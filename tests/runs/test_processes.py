import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import evospace.runs.processes
from evospace.errors import DataError, EvospaceError, InterruptedRunError, UsageError
from evospace.runs.lock import claimed
from evospace.runs.processes import Queue, Work, alone_in, error_of
from tests.runs.works import Deaf, Fail, UntilAsked, Write


def queue(folder: Path, ended: dict[str, int], jobs: int = 2, seconds: float = 0.0) -> Queue:
    return Queue(folder=folder, jobs=jobs, seconds=seconds, on_end=ended.__setitem__)


def test_every_job_is_done_and_says_what_became_of_it(tmp_path: Path) -> None:
    ended = dict[str, int]()
    works: dict[str, Work] = {
        "a": Write("a"),
        "b": Fail("error"),
        "c": Fail("killed"),
        "d": Fail("broken"),
        "e": Write("e"),
    }
    with claimed(tmp_path / "e"):
        made = queue(tmp_path, ended)
        assert made.run(works, "a test", "nothing")
    assert ended == {"a": 0, "b": 3, "c": -signal.SIGKILL, "d": 1}
    assert made.taken == ["e"]
    assert (tmp_path / "a/done").read_text() == "a"
    assert (tmp_path / "a/log.txt").read_text() == "at a\n"
    assert "Traceback" in (tmp_path / "d/log.txt").read_text()


def test_jobs_whose_output_nobody_reads_end_the_queue_as_that_ends_a_program(tmp_path: Path) -> None:
    ended = dict[str, int]()
    with pytest.raises(BrokenPipeError):
        queue(tmp_path, ended).run({"a": UntilAsked(), "b": Fail("unheard")}, "a test", "nothing")
    assert not ended
    assert (tmp_path / "a/saved").exists() == (tmp_path / "a/begun").exists()
    assert "Traceback" not in (tmp_path / "b/log.txt").read_text()


PRINTING = """
import sys
from pathlib import Path
from evospace.runs.processes import Queue
from tests.runs.works import Fail, Write
if __name__ == "__main__":
    queue = Queue(folder=Path(sys.argv[1]), jobs=1, logged=sys.argv[2] == "logged")
    assert queue.run({"a/0": Write("a"), "b": Fail("error"), "d": Fail("broken")}, "a test", "nothing")
"""


def printed(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """By a process of its own: what forks the jobs prints where it did when the first queue of a process began."""
    command = [sys.executable, "-c", PRINTING, str(folder), how]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_of_jobs_with_a_log_errors_alone_are_printed_in_a_line(tmp_path: Path) -> None:
    seen = printed(tmp_path, "logged")
    assert seen.stdout == ""
    assert seen.stderr.splitlines() == [
        "evospace: error: b: no such network",
        f"evospace: error: d: RuntimeError: broken; the traceback is in {tmp_path}/d/log.txt",
    ]


def test_what_jobs_print_can_go_where_the_queue_prints(tmp_path: Path) -> None:
    seen = printed(tmp_path, "unlogged")
    assert seen.stdout == "at a\n"
    assert "evospace: error: b: no such network\n" in seen.stderr
    assert "RuntimeError: broken; the traceback is above" in seen.stderr
    assert not list(tmp_path.rglob("log.txt"))


def when(paths: Sequence[Path], act: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not all(path.exists() for path in paths):
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_once_they_have_saved_and_begins_no_other(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    ended = dict[str, int]()
    works: dict[str, Work] = {"a": UntilAsked(), "b": UntilAsked(), "c": Write("c")}
    thread = when([tmp_path / "a/begun", tmp_path / "b/begun"], lambda: os.kill(os.getpid(), number))
    with pytest.raises(InterruptedRunError, match=r"interrupted in a test.*go on with: once more") as caught:
        queue(tmp_path, ended).run(works, "a test", "once more")
    thread.join()
    assert caught.value.exit_code == code
    assert {path.parent.name for path in tmp_path.glob("*/saved")} == {"a", "b"}
    assert ended == {"a": 143, "b": 143}
    assert not (tmp_path / "c").exists()


GROUP = """
import sys
from pathlib import Path
from evospace.errors import InterruptedRunError
from evospace.runs.processes import Queue
from tests.runs.works import UntilAsked
if __name__ == "__main__":
    queue = Queue(folder=Path(sys.argv[1]), jobs=2, on_end=lambda key, code: print(key, code, flush=True))
    try:
        queue.run({"a": UntilAsked(), "b": UntilAsked()}, "a test", "once more")
    except InterruptedRunError as error:
        sys.exit(error.exit_code)
"""


def test_a_signal_to_the_whole_process_group_is_one_request_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROUP, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    when([tmp_path / "a/begun", tmp_path / "b/begun"], lambda: os.killpg(process.pid, signal.SIGTERM)).join()
    said, _ = process.communicate()
    assert sorted(said.splitlines()) == ["a 143", "b 143"]
    assert process.returncode == 143
    assert (tmp_path / "a/saved").exists()
    assert (tmp_path / "b/saved").exists()


def test_the_time_that_is_up_ends_all_in_the_same_way(tmp_path: Path) -> None:
    ended = dict[str, int]()
    works: dict[str, Work] = {"a": UntilAsked(), "b": Write("b")}
    assert not queue(tmp_path, ended, jobs=1, seconds=1.5).run(works, "a test", "once more")
    assert (tmp_path / "a/saved").exists()
    assert ended == {"a": 143}


def test_a_request_that_was_missed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evospace.runs.processes, "AGAIN_SECONDS", 0.3)
    assert not queue(tmp_path, {}, seconds=1.5).run({"a": Deaf()}, "a test", "once more")
    assert (tmp_path / "a/saved").exists()


def test_a_job_is_alone_while_no_other_of_the_folder_is_held(tmp_path: Path) -> None:
    with claimed(tmp_path / "a"):
        assert alone_in(tmp_path / "a")
        with claimed(tmp_path / "b"):
            assert not alone_in(tmp_path / "a")
        assert alone_in(tmp_path / "a")


def test_a_folder_that_is_held_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one who asks whether it is free holds it."""
    with contextlib.ExitStack() as held:
        assert held.enter_context(claimed(tmp_path / "a"))
        monkeypatch.setattr("time.sleep", lambda seconds: held.close())
        with claimed(tmp_path / "a") as ours:
            assert ours
    with claimed(tmp_path / "a"), claimed(tmp_path / "a") as again:
        assert not again


@pytest.mark.parametrize(
    ("codes", "kind"),
    [([4, 4], DataError), ([1, 1], EvospaceError), ([4, 1], UsageError), ([2], UsageError), ([-9], UsageError)],
)
def test_what_all_jobs_ended_with_is_what_the_queue_ends_with(codes: list[int], kind: type[Exception]) -> None:
    assert error_of(codes) is kind


@pytest.mark.parametrize("work", [UntilAsked(), Deaf()])
def test_no_job_goes_on_where_an_error_ends_the_queue(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evospace.runs.processes, "AGAIN_SECONDS", 0.5)

    def broken(key: str, code: int) -> None:
        raise DataError("the database cannot be read")

    made = Queue(folder=tmp_path, jobs=2, on_end=broken)
    with pytest.raises(DataError, match="cannot be read"):
        made.run({"a": work, "b": Write("b", seconds=0.5)}, "a test", "nothing")
    assert (tmp_path / "a/saved").exists()
    assert not multiprocessing.active_children()
