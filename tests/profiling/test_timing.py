"""Times on a machine with a clock of its own: what is disturbed does not count."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from evospace.profiling import timing
from evospace.profiling.timing import Watch, settled, time_in_turn, timing_of


class Machine:
    """Runs take a known time, but three times as long while a neighbour works."""

    def __init__(self, busy: Callable[[float], bool]) -> None:
        self.now, self.busy = 0.0, busy

    def run(self, seconds: float) -> Callable[[], None]:
        def once() -> None:
            self.now += seconds * (3.0 if self.busy(self.now) else 1.0)

        return once

    def watch(self) -> Watch:
        watch = Watch(reference=self.run(0.0005), clock=lambda: self.now)
        watch.warm_up()
        return watch


def quiet(now: float) -> bool:
    return False


def test_a_quiet_machine_is_measured_exactly_in_few_passes() -> None:
    machine = Machine(quiet)
    found = time_in_turn({"short": machine.run(0.0001), "long": machine.run(0.02)}, machine.watch())
    assert found["short"].ns == 100_000
    assert found["long"].ns == 20_000_000
    assert {t.passes for t in found.values()} == {timing.MIN_PASSES}
    assert all(t.spread < 1e-6 for t in found.values())


@pytest.mark.parametrize("period", [0.05, 0.3, 1.0])
def test_what_a_neighbour_slows_down_does_not_count(period: float) -> None:
    machine = Machine(lambda now: (now // period) % 3 < 2)  # busy for two thirds of the time
    runs = {i: machine.run(0.001 * (1 + i)) for i in range(4)}
    found = time_in_turn(runs, machine.watch())
    assert [found[i].ns for i in range(4)] == pytest.approx([1e6, 2e6, 3e6, 4e6], rel=0.02)


def test_a_machine_that_never_gets_quiet_still_gives_its_fastest() -> None:
    machine = Machine(quiet)
    watch = machine.watch()
    machine.busy = lambda now: True
    found = time_in_turn({"run": machine.run(0.001)}, watch)
    assert found["run"].ns == 3_000_000
    assert found["run"].passes == timing.MAX_PASSES


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_sample_is_as_quiet_as_the_louder_of_its_sides(side: str) -> None:
    machine = Machine(quiet)
    watch = machine.watch()
    start, calls = machine.now, list[float]()

    def run() -> None:
        calls.append(machine.now)
        machine.now += 0.5
        if side == "after" and len(calls) == 2:
            machine.busy = lambda now: True

    machine.busy = (lambda now: start + 0.4 < now < start + 0.9) if side == "before" else quiet
    _, reference = watch.sample(run)
    assert reference == pytest.approx(3 * watch.best, rel=0.01)


def test_the_median_of_the_three_fastest_quiet_samples() -> None:
    samples = [(5.0, 1.0), (1.0, 1.5), (5.05, 1.02), (5.02, 1.0), (9.0, 1.0)]
    assert settled(samples, best=1.0)  # the one that took 1.0 was disturbed
    found = timing_of(samples, best=1.0)
    assert found.ns == 5_020_000_000
    assert found.spread == pytest.approx(0.01)
    assert not settled([*samples[:2], (5.3, 1.0), (5.4, 1.0)], best=1.0)  # 8 % apart
    assert not settled(samples, best=0.9)  # the machine was faster once: none of these counts
    assert timing_of(samples, best=0.9).ns == 5_000_000_000
    assert timing_of([(2.0, 2.0)] * 5, best=1.0).spread == 1.0  # slow throughout: they agree, and mean nothing


def test_reports_how_many_are_settled() -> None:
    machine, heard = Machine(quiet), list[tuple[int, int]]()
    runs = {i: machine.run(0.001) for i in range(3)}
    time_in_turn(runs, machine.watch(), on_pass=lambda done, total: heard.append((done, total)))
    assert heard == [(0, 3), (0, 3), (3, 3), (3, 3), (3, 3)]


def test_a_faster_reference_is_remembered() -> None:
    times: Iterator[float] = (x / 1000 for x in count())
    watch = Watch(reference=lambda: None, best=5.0, clock=lambda: next(times))
    watch.sample(lambda: None)
    assert watch.best == pytest.approx(0.001)
