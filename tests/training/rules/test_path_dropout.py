"""Bender et al., 2018, section 3.3: k paths are all dropped with probability r, which grows linearly from 0."""

import numpy as np
import pytest

from evospace.space.search_space import SearchSpace
from evospace.training.rules.path_dropout import RATE, PathDropoutRule
from tests.training.rules.made import BLOCKS, NAMES, drawn


@pytest.mark.parametrize("paths", [1, 5, 27])
def test_a_path_is_always_kept_at_first_and_all_are_dropped_at_the_rate_at_last(paths: int) -> None:
    rule = PathDropoutRule(steps=101)
    assert rule.keep(paths, 0) == 1.0
    assert (1.0 - rule.keep(paths, 100)) ** paths == pytest.approx(RATE)
    dropped = [1.0 - rule.keep(paths, step) for step in (0, 25, 50, 75, 100)]
    assert np.diff(dropped) == pytest.approx(np.full(4, dropped[-1] / 4))
    assert PathDropoutRule(steps=1).keep(paths, 0) == 1.0


def test_paths_are_dropped_one_by_one_at_that_rate_and_a_block_that_needs_one_keeps_one() -> None:
    space = SearchSpace.over(BLOCKS, NAMES, "single")
    rule = PathDropoutRule(steps=11)
    assert all(blocks == (tuple(sorted(NAMES)),) * len(BLOCKS) for blocks in drawn(rule, space, step=0, draws=20))
    last = drawn(rule, space, step=10, draws=4000)
    free = [blocks[space.required.index(False)] for blocks in last]
    keep = 1.0 - RATE ** (1 / len(NAMES))
    for name in NAMES:  # four standard errors of 4000 draws
        assert np.mean([name in chosen for chosen in free]) == pytest.approx(keep, abs=4 * 0.5 / 4000**0.5)
    assert np.mean([not chosen for chosen in free]) == pytest.approx(RATE, abs=4 * (RATE / 4000) ** 0.5)
    assert all(blocks[space.required.index(True)] for blocks in last)
