"""The composition root of a search: puts data, space, costs, strategy and run directory together."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evospace.config import SearchConfig
from evospace.cost.latency_file import read_latency_table
from evospace.cost.latency_table import LatencyTable
from evospace.data import ImageData, hold_out, load_data, require_enough, with_train_images
from evospace.devices import device_of
from evospace.errors import printable
from evospace.forecast import forecast, report_space
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops, sources_of
from evospace.problem import check_strategy, check_window, make_problem, require_possible
from evospace.profiling.measure import doubts
from evospace.report.plan_lines import Forecast, SpaceReport, space_lines
from evospace.report.progress import console
from evospace.runs.contents import where_they_lie_now
from evospace.runs.files import this_moment
from evospace.runs.run_directory import RunDirectory
from evospace.space.skeleton import Skeleton, make_skeleton
from evospace.strategies.contract import Problem, RuleName, SearchState
from evospace.strategies.nse import first_state
from evospace.strategies.queues import shuffled
from evospace.strategies.strategy import STRATEGIES, Strategy
from evospace.workbench import Workbench

TABLE = "latency table"
"""Under this name a run's contents tell which latencies it was counted with."""

FEW_STEPS = 200
"""Below so many weight steps in all a search is warned of: 20 left the scores at chance, and where they begin to mean
something depends on the images."""
COUNTED_SILENTLY = 1000
"""More operations times block shapes, about ten seconds of counting, are announced to who waits for them."""


def load_images(config: SearchConfig, device: str) -> ImageData:
    """The images of a search; raises `DataError` where there are none, or too few."""
    with where_they_lie_now(config.out if config.resume else ""):
        data = load_data(
            config.data,
            data_dir=Path(config.data_dir) if config.data_dir else None,
            image_size=config.image_size or None,
            seed=config.seed,
            flip=config.flip,
            device=device,
            workers=config.workers,
        )
    if config.train_images:
        data = with_train_images(data, config.train_images, config.seed)
    require_enough(data)
    return data


def prepare(config: SearchConfig) -> "Experiment":
    """Load the data and lay out the space of a search; nothing is trained or written yet."""
    config.check_required()
    kinds = load_ops(config.ops)
    config.check_latency()
    device = device_of(config.device)
    data = load_images(config, device)
    skeleton = make_skeleton(
        config.skeleton or None,
        image_size=data.image_size,
        image_channels=data.image_channels,
        activation=config.activation,
    )
    latency = read_latency_table(Path(config.latency_table)) if config.latency_table else None
    check_strategy(config)
    if not config.resume:
        check_window(config)
    operations, shapes = len(pool_names(config.pool, kinds, se=config.se)), len(set(skeleton.blocks()))
    if operations * shapes > COUNTED_SILENTLY:
        console(to_stderr=True).print(f"counting {operations} operations at {shapes} block shapes")
    problem = make_problem(config, skeleton, kinds, len(data.classes), latency)
    require_possible(problem)
    out = Path(config.out or f"runs/{printable(Path(config.data).resolve().name)}-{this_moment()}")
    return Experiment(
        config=config,
        data=data,
        skeleton=skeleton,
        problem=problem,
        directory=RunDirectory(out),
        device=device,
        kinds=kinds,
        latency=latency,
    )


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One search with everything it needs."""

    config: SearchConfig
    data: ImageData
    skeleton: Skeleton
    problem: Problem
    directory: RunDirectory
    device: str
    kinds: tuple[str, ...] = ()
    """The user's own operation kinds in the pool."""
    latency: LatencyTable | None = None
    """What a latency budget is counted with."""

    @property
    def contents(self) -> dict[str, str]:
        """Tells whether a resumed run has the same data, latencies, and source of the user's operations."""
        contents = {**self.data.contents, **sources_of(self.kinds)}
        if self.latency:  # what the search counts with: the table may know more operations by now
            table = self.problem.tables["latency"]
            used = [str(self.latency.setting), table.fixed, [dict(costs) for costs in table.ops]]
            contents[TABLE] = hashlib.sha256(json.dumps(used).encode()).hexdigest()
        return contents

    @cached_property
    def bench(self) -> Workbench:
        """What supernets are trained and scored on."""
        return Workbench(
            config=self.config,
            problem=self.problem,
            skeleton=self.skeleton,
            splits=hold_out(self.data, self.config.seed),
            device=self.device,
        )

    @cached_property
    def report(self) -> SpaceReport:
        """The full space beside the budget."""
        return report_space(self.problem, self.config.seed)

    @property
    def strategy(self) -> Strategy:
        """How to search."""
        return STRATEGIES[self.config.strategy]

    @property
    def rule(self) -> RuleName | None:
        """What most of the training is; `None` where no supernet is trained, and so there is nothing to forecast."""
        return self.strategy.rule(self.config)

    def forecast(self, state: SearchState, rounds: int, check: Callable[[], None] = lambda: None) -> Forecast:
        """What the `rounds` after `state` will take; see `evospace.forecast`."""
        assert self.rule is not None
        sizes = self.strategy.sizes(state, self.config)
        scores = [self.strategy.scores(self.config, i == len(sizes)) for i in range(1, len(sizes) + 1)]
        return forecast(self.bench, self.rule, sizes[:rounds], scores[:rounds], state.round, check)

    def first_state(self) -> SearchState:
        """Nothing searched yet."""
        full = self.problem.full
        rounds = self.strategy.rounds(max(map(len, full.candidates)), self.config)
        return first_state(shuffled(full.candidates, self.config.seed), rounds)

    def _steps(self, state: SearchState) -> Iterator[str]:
        config, images = self.config, len(self.bench.splits.train)
        batch = min(config.batch_size, images)
        rounds = state.last(config.max_rounds)
        left, a_round = rounds - state.round, images // batch * config.epochs
        yield f"training {images} images in batches of {batch}: {a_round * left:,} weight steps in {left} round(s)"
        steps = a_round * rounds  # with those before, whose weights are inherited
        if steps < FEW_STEPS:
            yield (
                f"warning: {steps} weight steps teach a supernet hardly anything, and its scores rank by chance; lower"
                " --batch-size, raise --epochs, or add images"
            )

    def announcement(self, state: SearchState) -> Iterator[str]:
        """What is searched from `state` on and on what, the space beside the budget, doubts of a latency table."""
        yield (
            f"{self.config.data}: {self.problem.classes} classes, {self.skeleton.image_size} pixels,"
            f" skeleton {self.skeleton.name}, {self.device}, strategy {self.config.strategy}"
        )
        yield from space_lines(self.problem, self.report)
        if self.rule is not None:
            yield from self._steps(state)
        if self.latency:
            yield f"latency  {self.latency.setting}"
            for doubt in doubts(self.latency, self.config.latency_table, self.device):
                yield f"warning: {doubt}"
