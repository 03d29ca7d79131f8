import io

import pytest
from rich.console import Console

from evospace.estimation.evaluation import Evaluation
from evospace.report.tables import front_table, short
from evospace.space.architecture import Architecture


@pytest.mark.parametrize(("value", "text"), [(12, "12"), (1234, "1.23K"), (2_500_000, "2.5M"), (1.5e9, "1.5G")])
def test_short_counts(value: float, text: str) -> None:
    assert short(value) == text


def test_the_table_has_a_row_per_member() -> None:
    member = Evaluation(architecture=Architecture.of([["a", "b"], []]), macs=1500, params=2, accuracy=0.5, round=3)
    out = io.StringIO()
    Console(file=out, width=100).print(front_table([member, member], "front"))
    assert out.getvalue().count("1.5K") == 2
    assert "50.00 %" in out.getvalue()
