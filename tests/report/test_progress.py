import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from evospace.report.progress import Progress, console
from evospace.runs.files import writing


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, width=200), rounds=2, epochs=3) as progress:
        progress.start_round(1)
        for epoch in (1, 2, 3):
            progress.epoch(epoch, loss=1.0, accuracy=0.5, cost=1e6, unit="macs", active=7)
        progress.scored(1, 2)
        progress.scored(2, 2)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert "round 1/2  epoch 3/3  loss 1.000  accuracy 0.500  expected macs 1M  active 7" in lines[1]
    assert "scoring 2/2" in lines[2]


def test_a_live_line_on_a_terminal_leaves_nothing_behind_but_lines_that_stay() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, width=200, force_terminal=True), rounds=1, epochs=2) as progress:
        progress.start_round(1)
        progress.epoch(1, loss=1.0, accuracy=0.5, cost=1e6, unit="macs", active=7)
        progress.line("round 1 done")
    assert "epoch 1/2" in out.getvalue()
    assert "round 1 done" in out.getvalue()


def test_a_pipe_that_nobody_reads_is_an_error_and_not_the_end_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(os.dup(write), "w", buffering=1) as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(BrokenPipeError):
            console().print("more than nobody wants to know")
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    os.close(write)
    with pytest.raises(BrokenPipeError), writing(Path("run")):
        raise BrokenPipeError


@pytest.mark.parametrize("first", [1, 31])
def test_the_time_left_is_told_by_what_this_sitting_has_done(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before the round (loading, a forecast), and what an earlier sitting did of it, do not count."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    out = io.StringIO()
    with Progress(Console(file=out, width=200), rounds=1, epochs=90) as progress:
        now[0] = 1000.0
        progress.start_round(1)
        for epoch in range(first, 91):
            now[0] += 1.0
            progress.epoch(epoch, loss=1.0, accuracy=0.5, cost=1e6, unit="macs", active=7)
    # An epoch is a hundredth of the search, and takes a second. One that ends a minute after a line has one, too.
    told = [line.rpartition("about ")[2] for line in out.getvalue().splitlines()]
    assert told == (["99 s left", "39 s left", "10 s left"] if first == 1 else ["69 s left", "10 s left"])


def test_the_time_left_of_scores_that_an_earlier_sitting_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress(Console(file=out, width=200), rounds=2, epochs=9) as progress:
        progress.start_round(1)
        for done in range(8, 11):  # three tenths of the scores, which are a tenth of a round: 3 of 103 parts
            now[0] += 1.0
            progress.scored(done, 10)
    assert out.getvalue().splitlines()[-1].endswith("about 100 s left")
