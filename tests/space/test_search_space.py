import itertools
import math

import pytest

from evospace.ops.spec import BlockShape
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace

CANDIDATES = (("a", "b"), ("a", "b", "c"), ())
REQUIRED = (True, False, False)


def every_subset(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [chosen for n in range(len(names) + 1) for chosen in itertools.combinations(names, n)]


@pytest.mark.parametrize(("branches", "size"), [("multi", 3 * 8), ("single", 2 * 4)])
def test_size_and_membership_agree_with_enumeration(branches: Branches, size: int) -> None:
    space = SearchSpace(CANDIDATES, REQUIRED, branches)
    everything = itertools.product(*map(every_subset, CANDIDATES))
    inside = [blocks for blocks in everything if Architecture.of(blocks) in space]
    assert len(inside) == size
    assert space.log10_size() == pytest.approx(math.log10(size))


@pytest.mark.parametrize("blocks", [[["a"], ["a"]], [["z"], [], []], [[], [], []], [["a"], [], ["a"]]])
def test_what_is_not_in_the_space(blocks: list[list[str]]) -> None:
    assert Architecture.of(blocks) not in SearchSpace(CANDIDATES, REQUIRED)


def test_over_a_skeleton_reduction_blocks_are_required() -> None:
    keeps = BlockShape(in_channels=8, out_channels=8, stride=1, resolution=4)
    reduces = BlockShape(in_channels=8, out_channels=8, stride=2, resolution=4)
    expands = BlockShape(in_channels=8, out_channels=16, stride=1, resolution=4)
    space = SearchSpace.over([keeps, reduces, expands], ["a", "b"], "single")
    assert space == SearchSpace((("a", "b"),) * 3, (False, True, True), "single")


def test_without_drops_pairs_only_where_named() -> None:
    space = SearchSpace(CANDIDATES, REQUIRED).without([(0, "b"), (1, "a")])
    assert space.candidates == (("a",), ("b", "c"), ())
    assert space.required == REQUIRED


@pytest.mark.parametrize(
    ("candidates", "required"), [((("a", "a"),), (False,)), (((),), (True,)), ((("a",),), (True, True))]
)
def test_malformed_spaces_are_refused(candidates: tuple[tuple[str, ...], ...], required: tuple[bool, ...]) -> None:
    with pytest.raises(AssertionError):
        SearchSpace(candidates, required)
