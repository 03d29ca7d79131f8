import io

import pytest
from rich.console import Console

from evospace.estimation.evaluation import Evaluation
from evospace.report.progress import Progress, front_table, short
from evospace.space.architecture import Architecture


@pytest.mark.parametrize(("value", "text"), [(12, "12"), (1234, "1.23K"), (2_500_000, "2.5M"), (1.5e9, "1.5G")])
def test_short_counts(value: float, text: str) -> None:
    assert short(value) == text


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


def test_the_table_has_a_row_per_member() -> None:
    member = Evaluation(architecture=Architecture.of([["a", "b"], []]), macs=1500, params=2, accuracy=0.5, round=3)
    out = io.StringIO()
    Console(file=out, width=100).print(front_table([member, member], "front"))
    assert out.getvalue().count("1.5K") == 2
    assert "50.00 %" in out.getvalue()
