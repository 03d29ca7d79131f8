from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evospace.cost.budget import Budget
from evospace.estimation.evaluation import Evaluation
from evospace.report.figures import draw_fronts, draw_space
from evospace.space.architecture import Architecture
from evospace.strategies.ledger import LedgerRow, pairs_of


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def row(operation: str, outcome: str) -> LedgerRow:
    return LedgerRow(
        round=1, block=0, operation=operation, inherited=False, fitness=0.0, outcome=outcome, reason="because"
    )


def test_the_space_shows_each_outcome_in_its_colour(tmp_path: Path) -> None:
    path = tmp_path / "space.png"
    draw_space(path, [row("a", "kept"), row("b", "pruned")], list("abc"), pairs_of([], ["abc"] * 2), 2)
    colours = {tuple(c) for c in pixels(path).reshape(-1, 3)[::3].tolist()}
    assert (0x2F, 0x6F, 0x9F) in colours
    assert (0xE0, 0x7B, 0x54) in colours
    draw_space(path, [], list("abc"), pairs_of([], ["abc"] * 2), 2)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_block_has_not_is_left_white_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--operations` each block has its own part of the pool."""
    drawn: list[Figure] = []
    monkeypatch.setattr("evospace.report.figures.save_figure", lambda figure, _: drawn.append(figure))
    draw_space(tmp_path, [], list("abcd"), pairs_of([], ["abc"] * 2), 2)
    draw_space(tmp_path, [row("a", "kept")], list("abcd"), pairs_of([], ["abc", "b"]), 2)
    shown = [np.asarray(figure.axes[0].images[0].get_array()).tolist() for figure in drawn]
    assert shown == [[[0, 0]] * 3, [[3, 4], [0, 0], [0, 4]]]
    told = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert [len(texts) for texts in told] == [4, 5]
    assert told[1][-1] == "not in the block's part of the pool"


def test_fronts_of_several_rounds_are_drawn(tmp_path: Path) -> None:
    members = [
        Evaluation(architecture=Architecture.of([["a"]]), macs=m, params=1, accuracy=m / 10, round=1) for m in (4, 5)
    ]
    path = tmp_path / "fronts.png"
    draw_fronts(path, [members, members[:1]], Budget.parse("macs=4..6"))
    assert pixels(path).std() > 1


def test_what_is_drawn_twice_is_the_same_to_the_bit(tmp_path: Path) -> None:
    member = Evaluation(architecture=Architecture.of([["a"]]), macs=4, params=1, accuracy=0.4, round=1)
    for time in "12":
        draw_fronts(tmp_path / f"fronts{time}", [[member]], Budget.parse("macs=4..6"))
        draw_space(
            tmp_path / f"space{time}", [row("a", "kept"), row("b", "pruned")], list("ab"), pairs_of([], ["ab"] * 2), 2
        )
    for name in ("fronts", "space"):
        assert (tmp_path / f"{name}1").read_bytes() == (tmp_path / f"{name}2").read_bytes()
