"""How the evolutionary searches make their children."""

import pytest

from evospace.config import SearchConfig
from evospace.sampling.budget import WindowSampler
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.strategies import regularized_evolution, spos
from evospace.strategies.nse import first_state
from evospace.strategies.strategy import STRATEGIES
from tests.strategies.table_lab import TableLab, nearness, problem

MADE = problem("macs=100..125", blocks=8)


def test_half_of_a_generation_is_mutated_and_half_crossed_from_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parents: the best so far, a fifth as many as a generation has children."""
    made: dict[str, dict[Architecture, list[set[Architecture]]]] = {"mutated": {}, "crossed": {}}
    for name, of in (("mutated", 1), ("crossed", 2)):

        def recorded(*args: object, name: str = name, of: int = of, make: object = getattr(spos, name)) -> Architecture:
            child: Architecture = make(*args)  # type: ignore[operator]
            made[name].setdefault(child, []).append(set(args[:of]))  # type: ignore[arg-type]
            return child

        monkeypatch.setattr(spos, name, recorded)
    lab = TableLab(oracle=nearness)
    trained = lab.train(1, MADE.full, "uniform")
    scored = spos.evolutionary(MADE, SearchConfig(samples=200), trained, 1)
    size = 200 // spos.GENERATIONS
    crossed = fresh = 0
    for start in range(size, 200, size):
        parents = set(spos.best(scored.evaluations[:start], 4, "macs"))
        for i, child in enumerate(lab.asked[start : start + size]):
            by = {n: any(origin <= parents for origin in made[n].get(child, [])) for n in made}
            assert i % 2 or by["mutated"]
            crossed += i % 2 and by["crossed"]
            fresh += not any(by.values())
    assert crossed > 30  # of 90: parents grow alike, and the few crosses of such are soon all known
    assert fresh < 10


def test_the_best_of_a_tournament_is_changed_in_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tournament far larger than the population, it is the best of those still alive."""
    monkeypatch.setattr(regularized_evolution, "TOURNAMENT", 50.0)
    lab = TableLab(oracle=nearness)
    scored = regularized_evolution.aged(MADE, SearchConfig(samples=80), lab.train(1, MADE.full, "uniform"))
    for i in range(8, 80):
        alive = scored.evaluations[i - 8 : i]
        best = min((-e.accuracy, e.macs) for e in alive)
        parents = [e.architecture for e in alive if (-e.accuracy, e.macs) == best]
        child = scored.evaluations[i].architecture
        assert 1 in [sum(a != b for a, b in zip(p.blocks, child.blocks, strict=True)) for p in parents]


@pytest.mark.parametrize("name", ["spos", "regularized-evolution"])
def test_a_finished_search_does_nothing_more(name: str) -> None:
    settings, first = SearchConfig(samples=20), first_state(MADE.full.candidates, 1)
    (result,) = STRATEGIES[name].search(MADE, settings, TableLab(oracle=nearness), first)
    after = TableLab(oracle=nearness)
    assert list(STRATEGIES[name].search(MADE, settings, after, result.state)) == []
    assert not after.trained


@pytest.mark.parametrize("seed", range(3))
def test_fresh_draws_are_new_and_end_with_the_budget(seed: int) -> None:
    made = problem("macs=58..58", blocks=4)
    trained = TableLab(oracle=nearness).train(1, made.full, "uniform")
    draws = spos.FreshDraws(made, trained, numpy_generator(seed, "draws"))
    found = [a for _ in range(20) for a in draws.distinct(15)]
    ways = [0] * 25  # of four blocks with 0 .. 6 above their cheapest, that cost 58 - 5 - 40 = 13 more in all
    ways[0] = 1
    for _ in range(4):
        ways = [sum(ways[max(0, t - 6) : t + 1]) for t in range(25)]
    assert len(found) == len(set(found)) == len(draws.seen) == ways[13]
    assert all(made.table.cost(a) == 58 for a in found)


def test_an_exhausted_window_is_not_drawn_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = problem("macs=26..26", blocks=4)  # one of the two blocks that need one has the second cheapest
    draws = spos.FreshDraws(made, TableLab(oracle=nearness).train(1, made.full, "uniform"), numpy_generator(0, "draws"))
    assert len(draws.distinct(9)) == 2
    assert draws.distinct(1) == []
    monkeypatch.setattr(WindowSampler, "draw_within", pytest.fail)
    assert draws.distinct(1) == []
