from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.errors import BudgetError
from evospace.space.search_space import SearchSpace
from evospace.strategies.queues import (
    Queues,
    default_rounds,
    reach,
    refill,
    require_limits,
    require_reachable,
    shuffled,
)


@given(st.integers(1, 30), st.integers(2, 9), st.integers(1, 4), st.sampled_from(["even", "full"]), st.data())
def test_after_the_last_round_every_operation_was_active_in_every_block(
    pool: int, k: int, blocks: int, how: Literal["even", "full"], data: st.DataObject
) -> None:
    names = tuple(f"op{i}" for i in range(pool))
    full = SearchSpace((names,) * blocks, (True,) * blocks)
    rounds, waiting = default_rounds(pool, k), shuffled(full.candidates, seed=3)
    inherited: tuple[tuple[str, ...], ...] = ((),) * blocks
    seen: list[set[str]] = [set() for _ in range(blocks)]
    for number in range(1, rounds + 1):
        queues = refill(inherited, waiting, k=k, rounds_left=rounds - number + 1, how=how)
        for b, active in enumerate(queues.active()):
            assert len(set(active)) == len(active)
            seen[b] |= set(active)
        waiting = queues.waiting
        inherited = tuple(active[: data.draw(st.integers(1, max(len(active), 1)))] for active in queues.active())
    assert all(found == set(names) for found in seen)


def test_paper_sizes() -> None:
    assert default_rounds(27, 5) == 7
    first = refill(((),), (tuple("abcdefg"),), k=5, rounds_left=3, how="full")
    assert first.fresh == (("a", "b", "c", "d", "e"),)
    rich = refill((("a", "b", "c"),), (tuple("defg"),), k=3, rounds_left=2, how="full")
    assert rich.fresh == (("d", "e"),)


def test_an_even_refill_leaves_as_much_to_the_last_round_as_to_the_first() -> None:
    hows: tuple[Literal["even", "full"], ...] = ("even", "full")
    counts: dict[str, list[int]] = {how: [] for how in hows}
    for how in hows:
        left: Sequence[tuple[str, ...]] = [tuple(f"op{i}" for i in range(27))]
        for round in range(6):  # nothing is ever inherited
            queues = refill([()], left, k=6, rounds_left=6 - round, how=how)
            counts[how].append(len(queues.fresh[0]))
            left = queues.waiting
    assert counts == {"even": [5, 5, 5, 4, 4, 4], "full": [6, 6, 6, 6, 3, 0]}


def test_the_nearest_operation_is_swapped_in_and_the_other_waits_at_the_front() -> None:
    full = SearchSpace((("big", "huge", "small"),), (True,))
    table = CostTable(metric="macs", fixed=0, ops=({"big": 50, "huge": 90, "small": 10},))
    queues = Queues(inherited=((),), fresh=(("big",),), waiting=(("huge", "small"),))
    after, swaps = reach(queues, full, table, Budget.parse("macs=5..15"))
    assert after.fresh == (("small",),)
    assert after.waiting == (("big", "huge"),)
    assert [(s.out, s.into) for s in swaps] == [("big", "small")]
    with pytest.raises(BudgetError, match="no single exchange"):
        reach(queues, full, table, Budget.parse("macs=1..5"))
    with pytest.raises(BudgetError, match=r"reaches macs 10 to 150, nearest .* is 10"):
        require_reachable(full, table, Budget.parse("macs=1..5"))


def test_an_operation_is_swapped_in_for_a_further_limit_too() -> None:
    full = SearchSpace((("big", "huge", "small"),), (True,))
    table = CostTable(metric="macs", fixed=0, ops=({"big": 10, "huge": 10, "small": 10},))
    other = CostTable(metric="params", fixed=1, ops=({"big": 50, "huge": 90, "small": 5},))
    queues = Queues(inherited=((),), fresh=(("big",),), waiting=(("huge", "small"),))
    budget = Budget.parse("macs=10..10")
    assert reach(queues, full, table, budget, [(other, 51)]) == (queues, [])
    after, swaps = reach(queues, full, table, budget, [(other, 6)])
    assert [(s.out, s.into) for s in swaps] == [("big", "small")]
    assert after.waiting == (("big", "huge"),)
    with pytest.raises(BudgetError, match=r"params <= 5: no single exchange .* nearer than 20\.00 % above its limits"):
        reach(after, full, table, budget, [(other, 5)])
    with pytest.raises(BudgetError, match=r"params <= 5 cannot be kept: with macs=10\.\.10 the space begins at 6"):
        require_limits(full, table, budget, [(other, 5)])


def test_the_swap_for_a_limit_is_the_one_that_lowers_it_most_inside_the_budget() -> None:
    """Light as it is, `tiny` would leave the budget; `small` for `huge` is not enough by itself, two swaps are."""
    full = SearchSpace((("big", "huge", "small", "tiny"),) * 2, (True,) * 2, "single")
    table = CostTable(metric="macs", fixed=0, ops=({"big": 10, "huge": 10, "small": 10, "tiny": 1},) * 2)
    other = CostTable(metric="params", fixed=0, ops=({"big": 50, "huge": 90, "small": 5, "tiny": 0},) * 2)
    queues = Queues(inherited=((),) * 2, fresh=(("big", "huge"),) * 2, waiting=(("tiny", "small"),) * 2)
    after, swaps = reach(queues, full, table, Budget.parse("macs=20..20"), [(other, 10)])
    assert [(s.block, s.into) for s in swaps] == [(0, "small"), (1, "small")]
    assert after.fresh == (("small", "huge"),) * 2  # either could go: the first does
    assert after.waiting == (("big", "tiny"),) * 2


def test_two_limits_that_exclude_each_other_are_told_before_anything_is_trained() -> None:
    space = SearchSpace((("a", "b"),), (True,), "single")
    table, one, two = (
        CostTable(metric=metric, fixed=0, ops=({"a": a, "b": b},))
        for metric, a, b in (("macs", 1, 1), ("params", 1, 5), ("latency", 5, 1))
    )
    with pytest.raises(BudgetError, match=r"params <= 2, latency <= .*: no architecture keeps all of that"):
        require_limits(space, table, Budget.parse("macs=1..1"), [(one, 2), (two, 2)])
