"""Each rival by itself, against a table with a known optimum: it finds what its definition promises."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from evospace.config import SearchConfig
from evospace.cost.budget import Budget
from evospace.cost.table import CostTable
from evospace.errors import CollapseError
from evospace.space.architecture import Architecture
from evospace.space.search_space import Branches, SearchSpace
from evospace.strategies import regularized_evolution, spos
from evospace.strategies.contract import Problem, RoundResult
from evospace.strategies.nse import first_state
from evospace.strategies.queues import shuffled
from evospace.strategies.shrinking import operation_angles, stages
from evospace.strategies.strategy import STRATEGIES
from tests.strategies.table_lab import NAMES, TableLab, nearness, problem

SCORERS = ["one-shot", "spos", "regularized-evolution", "random"]
BEST = Architecture.of([["op4"]] * 4)
ROOM = problem("macs=55..65")
"""The best of all costs 61."""


def search(name: str, lab: TableLab, made: Problem = ROOM, **settings: object) -> list[RoundResult]:
    strategy, given = STRATEGIES[name], SearchConfig(**({"samples": 120, "candidates": 2} | settings))  # type: ignore[arg-type]
    rounds = strategy.rounds(len(NAMES), given)
    return list(strategy.search(made, given, lab, first_state(shuffled(made.full.candidates, 0), rounds)))


@pytest.mark.parametrize("name", SCORERS)
def test_the_best_inside_the_budget_is_found_where_the_scores_tell_it(name: str) -> None:
    lab = TableLab(oracle=nearness)
    made = replace(ROOM, budget=Budget.parse("macs=60..61"))
    results = search(name, lab, made, samples=300)  # of 329
    assert results[-1].state.front[-1].architecture == BEST
    assert all(e.macs in made.budget for r in results for e in r.state.front)


@pytest.mark.parametrize("name", ["spos", "regularized-evolution"])
@pytest.mark.parametrize("branches", ["single", "multi"])
def test_evolution_needs_fewer_evaluations_than_chance(name: str, branches: str) -> None:
    made = problem("macs=100..125", branches, blocks=8)  # type: ignore[arg-type]
    evolved, random = (
        [max(e.accuracy for e in search(n, TableLab(oracle=nearness), made, seed=s)[-1].evaluations) for s in range(10)]
        for n in (name, "random")
    )
    assert sum(a > b for a, b in zip(evolved, random, strict=True)) >= 9


@pytest.mark.parametrize("name", ["spos", "regularized-evolution"])
def test_evolution_asks_for_as_many_as_it_may_and_for_none_twice(name: str) -> None:
    lab = TableLab(oracle=nearness)
    results = search(name, lab, samples=57)
    assert len(lab.asked) == len(set(lab.asked)) == 57
    assert all(ROOM.table.cost(a) in ROOM.budget for a in lab.asked)
    again = TableLab(oracle=nearness)
    search(name, again, samples=57)
    assert again.asked == lab.asked
    other = TableLab(oracle=nearness)
    search(name, other, samples=57, seed=1)
    assert other.asked != lab.asked
    assert results[0].state.front[-1].accuracy == max(map(nearness, lab.asked))


@pytest.mark.parametrize("name", ["spos", "regularized-evolution"])
def test_evolution_ends_where_the_budget_holds_no_more(name: str) -> None:
    lab = TableLab(oracle=nearness)
    search(name, lab, replace(ROOM, budget=Budget.parse("macs=25..25")), samples=50)  # both optional blocks are empty
    assert set(lab.asked) == {Architecture.of([[], ["op0"], [], ["op0"]])}


@pytest.mark.parametrize("name", ["spos", "regularized-evolution", "one-shot", "random"])
def test_what_cannot_be_scored_is_left_out(name: str) -> None:
    def oracle(architecture: Architecture) -> float | str:
        return "out of memory" if architecture.blocks[0] == ("op4",) else nearness(architecture)

    results = search(name, TableLab(oracle=oracle))
    assert results[0].state.front
    assert all(e.architecture.blocks[0] != ("op4",) for e in results[0].evaluations)
    assert {reason for _, reason in results[0].failed} == {"out of memory"}
    with pytest.raises(CollapseError, match="the first: not finite"):
        search(name, TableLab(oracle=lambda a: "not finite"))


def test_the_oldest_dies_not_the_worst() -> None:
    """The first population is far better than all its children: aging forgets it, so that late children descend
    from children. Were the worst to die, the first would stay parents for ever."""
    lab = TableLab(oracle=lambda a: 0.9 if len(lab.asked) <= 6 else 0.1 + len(lab.asked) / 1e4)
    search("regularized-evolution", lab, samples=60)
    first, last = lab.asked[:6], lab.asked[-1]

    def distance(a: Architecture, b: Architecture) -> int:
        return sum(x != y for x, y in zip(a.blocks, b.blocks, strict=True))

    parents = [a for a in lab.asked[:-1] if distance(a, last) == 1]
    assert any(a not in first for a in parents)
    assert min(distance(a, last) for a in lab.asked[-7:-1]) == 1


def test_where_the_winner_has_no_new_child_another_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget is drawn from again only where everything one block away from the whole population was asked for."""
    monkeypatch.setattr(spos, "TRIES", 1_000)
    lab = TableLab(oracle=nearness)
    made = replace(ROOM, budget=Budget.parse("macs=60..61"))
    search("regularized-evolution", lab, made, samples=400)
    size = int(regularized_evolution.POPULATION * 400)
    assert len(set(lab.asked)) == len(lab.asked) == 329  # all there are

    def neighbours(a: Architecture) -> set[Architecture]:
        changed = (
            Architecture.of([*a.blocks[:b], [name], *a.blocks[b + 1 :]])
            for b, names in enumerate(made.full.candidates)
            for name in names
        )
        return {child for child in changed if made.table.cost(child) in made.budget}

    drawn_again = 0
    for i, child in enumerate(lab.asked[size:], size):
        near = set[Architecture]().union(*map(neighbours, lab.asked[i - size : i])) - set(lab.asked[:i])
        assert child in near or not near
        drawn_again += child not in near
    assert 0 < drawn_again < 40


def test_evolution_by_training_trains_no_supernet() -> None:
    lab = TableLab(oracle=nearness)
    search("regularized-evolution", lab, score_by="training")
    assert [rule for rule, _, _ in lab.trained] == ["alone"]
    assert STRATEGIES["regularized-evolution"].rule(SearchConfig(score_by="training")) is None
    assert regularized_evolution.POPULATION < 1


@pytest.mark.parametrize("name", ["darts", "proxyless"])
def test_gradient_rivals_return_the_most_probable_inside_the_budget(name: str) -> None:
    def likes_op6(space: SearchSpace) -> list[np.ndarray]:
        return [np.array([0.0 if n != "op6" else 0.5 for n in names]) + 0.07 for names in space.candidates]

    lab = TableLab(oracle=nearness, probabilities=likes_op6)
    (result,) = search(name, lab, replace(ROOM, budget=Budget.parse("macs=69..69")))
    assert result.state.front[0].architecture == Architecture.of([["op6"]] * 4)
    assert len(lab.asked) == 1
    (result,) = search(name, lab, replace(ROOM, budget=Budget.parse("macs=68..68")))
    blocks = sorted(names[0] for names in result.state.front[0].architecture.blocks)
    assert blocks == ["op5", "op6", "op6", "op6"]
    assert [rule for rule, _, _ in lab.trained] == [name, name]


def test_a_further_limit_holds_for_gradient_rivals_too() -> None:
    made = replace(ROOM, limits={"params": 57})
    p = np.array([0.05, 0.06, 0.13, 0.14, 0.4, 0.12, 0.1])  # likeliest of all is op4 in every block, at 61
    lab = TableLab(oracle=nearness, probabilities=lambda space: [p * (0.9 if b % 2 else 1.0) for b in range(4)])
    (result,) = search("darts", lab, made, samples=500)
    found = result.state.front[0]
    assert found.params <= 57
    inside = [
        math.prod(float(p[i]) if b % 2 == 0 else float(0.9 * p[i]) for b, i in enumerate(chosen))
        for chosen in itertools.product(range(7), repeat=4)
        if 55 <= 45 + sum(chosen) <= 57
    ]
    share = math.prod(
        p[int(names[0][2:])] * (0.9 if b % 2 else 1.0) for b, names in enumerate(found.architecture.blocks)
    )
    assert share == pytest.approx(max(inside))  # the most probable that keeps it, as all of them shows


def test_random_draw_trains_one_architecture_by_itself() -> None:
    lab = TableLab(oracle=nearness)
    (result,) = search("random-draw", lab)
    assert [rule for rule, _, _ in lab.trained] == ["alone"]
    assert len(lab.asked) == 1
    assert result.state.front[0].macs in ROOM.budget


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("then", ["spos", "one-shot"])
def test_a_round_scores_what_the_forecast_counts_on(name: str, then: str) -> None:
    """Besides what nse scores again of the front before."""
    lab = TableLab(oracle=nearness, fitness=lambda b, n: float(n[2:]), turns=turned_by_number)
    made = replace(ROOM, budget=Budget.parse("macs=50..90"))
    results = search(name, lab, made, samples=20, then=then, rehearse=False)
    given = SearchConfig(samples=20, candidates=2, then=then)  # type: ignore[arg-type]
    counts = [len(result.evaluations) for result in results]
    expected = [STRATEGIES[name].scores(given, i == len(results)) for i in range(1, len(results) + 1)]
    if name == "nse":  # small spaces hold fewer
        assert all(count <= most for count, most in zip(counts, expected, strict=True))
        assert max(counts) >= 20
    else:
        assert counts == expected


def test_stages_halve_the_space_by_hand() -> None:
    assert stages(27, SearchConfig(candidates=5)) == [27, 14, 7, 5]
    assert stages(5, SearchConfig(candidates=5)) == [5]
    assert stages(6, SearchConfig(candidates=5)) == [6, 5]


def turned_by_number(space: SearchSpace) -> dict[tuple[int, str], tuple[float, float, float]]:
    """op0 .. op6 by 0, 0.2 .. 1.2 radians, and the shared part not at all."""
    angles = {(b, n): 0.2 * int(n[2:]) for b, names in enumerate(space.candidates) for n in names}
    return {(-1, ""): (1.0, 1.0, 1.0)} | {pair: (100 * math.cos(a), 100.0, 100.0) for pair, a in angles.items()}


@pytest.mark.parametrize(("by", "then"), [("angle", "spos"), ("fitness", "one-shot")])
def test_shrinking_drops_what_is_worst_and_goes_on_with_the_weights(by: str, then: str) -> None:
    """op0 .. op6 were turned by 0, 0.2 .. 1.2 radians, and op6 is fittest: op5 and op6 are left."""
    made = replace(ROOM, budget=Budget.parse("macs=50..90"))
    lab = TableLab(oracle=nearness, fitness=lambda b, n: float(n[2:]), turns=turned_by_number)
    results = search("shrinking", lab, made, shrink_by=by, then=then)
    rules = {"angle": ["uniform"] * 3, "fitness": ["nse", "nse", "path-dropout"]}[by]
    assert [rule for rule, _, _ in lab.trained] == rules
    assert [go_on for _, _, go_on in lab.trained] == [False, True, True]
    whole = [{(b, n) for b, names in enumerate(space.candidates) for n in names} for _, space, _ in lab.trained]
    assert lab.locked == whole  # no stage prunes while it trains
    assert [len(space.candidates[0]) for _, space, _ in lab.trained] == [7, 4, 2]
    assert all(set(names) == {"op5", "op6"} for names in lab.trained[-1][1].candidates)
    gone = {row.operation for row in results[0].ledger if row.outcome == "pruned"}
    assert gone == {"op0", "op1", "op2"}
    assert by in next(row.reason for row in results[0].ledger if row.outcome == "pruned")


def test_shrinking_keeps_the_budget_in_reach() -> None:
    """Only cheap operations fit, and they were turned least: what is needed stays."""
    made = replace(ROOM, budget=Budget.parse("macs=45..46"))
    lab = TableLab(oracle=nearness, fitness=lambda b, n: float(n[2:]))
    results = search("shrinking", lab, made, shrink_by="fitness")
    assert results[-1].state.front[-1].macs in made.budget


def test_an_angle_is_that_of_the_whole_architecture_by_hand() -> None:
    space = SearchSpace((("a", "b"),), (True,), "single")
    turned = {(-1, ""): (3.0, 4.0, 4.0), (0, "a"): (0.0, 1.0, 4.0), (0, "b"): (2.0, 2.0, 2.0)}
    trained = TableLab(oracle=nearness, turns=lambda space: turned).train(1, space, "uniform")
    found = operation_angles(trained, np.random.default_rng(0))
    assert found[0, "a"] == pytest.approx(math.acos(3 / math.sqrt(5 * 8)))
    assert found[0, "b"] == pytest.approx(math.acos(5 / 6))


@pytest.mark.parametrize("branches", ["single", "multi"])
def test_an_angle_is_averaged_over_the_other_blocks_for_every_operation(branches: Branches) -> None:
    """Each operation has all draws, even one that gates would hardly ever draw: by counting all architectures."""
    space = SearchSpace((("a", "b"), ("c",)), (True, False), branches, "uniform")
    turned = {
        (-1, ""): (3.0, 4.0, 4.0),
        (0, "a"): (0.0, 1.0, 4.0),
        (0, "b"): (2.0, 2.0, 2.0),
        (1, "c"): (0.0, 9.0, 9.0),
    }
    trained = TableLab(oracle=nearness, turns=lambda space: turned).train(1, space, "uniform")
    found = operation_angles(trained, np.random.default_rng(0))

    def angle(*parts: tuple[int, str]) -> float:
        dot, before, now = (sum(column) for column in zip(*(turned[p] for p in ((-1, ""), *parts)), strict=True))
        return math.acos(dot / math.sqrt(before * now))

    a, b, c = (0, "a"), (0, "b"), (1, "c")
    own = [[a], [a, b]] if branches == "multi" else [[a]]  # b is in two of three subsets: given a's draw of itself
    chances = [1 / 3, 2 / 3] if branches == "multi" else [1.0]
    wanted = sum(
        chance / 2 * angle(*subset, *more) for chance, subset in zip(chances, own, strict=True) for more in ([], [c])
    )
    assert found[a] == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_limit_that_hardly_anything_keeps_ends_no_search(name: str, seed: int) -> None:
    """Learned gates shun what alone keeps it; the first round's operations may not hold it."""

    def likes_op6(space: SearchSpace) -> list[np.ndarray]:
        return [np.array([0.01 if n != "op6" else 0.9 for n in names]) for names in space.candidates]

    branches = STRATEGIES[name].branches[0]
    made = problem("macs=5..200", branches, blocks=6)
    dear = {n: 100 if n != "op5" else 7 for n in NAMES}
    params = CostTable(metric="params", fixed=5, ops=(dear,) * 6)
    made = replace(made, tables=dict(made.tables) | {"params": params}, limits={"params": 5 + 3 * 7})
    lab = TableLab(oracle=nearness, probabilities=likes_op6, turns=turned_by_number)
    results = search(name, lab, made, seed=seed, samples=20)
    best = [e.architecture for r in results for e in r.state.front]
    assert set(best) == {Architecture.of([["op5"] if b % 2 else [] for b in range(6)])}
