import io

import pytest
from rich.console import Console

from evospace.estimation.evaluation import Evaluation
from evospace.report.tables import front_table, network_lines, rounds_table, short
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


def test_the_rounds_of_a_latency_search_fit_80_characters() -> None:
    summary = {"round": 12, "active": 1234, "pruned": 123, "expected_cost": 123_456, "front": 10, "best": 1.0}
    summary |= {
        "hypervolume": 0.12345,
        "rehearsed_hypervolume": 0.12345,
        "train_seconds": 1234.5,
        "score_seconds": 99.9,
    }
    out = io.StringIO()
    Console(file=out, width=80).print(rounds_table([summary], "latency"))
    assert "\N{HORIZONTAL ELLIPSIS}" not in out.getvalue()


def test_a_block_is_told_as_the_mean_that_it_is() -> None:
    def block(*operations: str, keeps_shape: bool) -> dict[str, object]:
        shape = {"in_channels": 8, "out_channels": 8, "stride": 1, "resolution": 4}
        return {**shape, "operations": list(operations), "keeps_shape": keeps_shape}

    blocks = [block("a", "b", keeps_shape=True), block("a", keeps_shape=False), block(keeps_shape=True)]
    numbers = {"name": "n", "classes": 2, "image_size": 8, "skeleton": "s", "macs": 1, "flops": 2, "params": 3}
    lines = network_lines({**numbers, "blocks": [*blocks, block("a", "b", keeps_shape=False)]})
    told = [line.partition("at   4  ")[2] for line in lines[-4:]]
    assert told == ["mean of a, b, input", "a", "(identity)", "mean of a, b"]
