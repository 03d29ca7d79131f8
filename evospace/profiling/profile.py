"""Fills a latency table: every (block shape, operation), the fixed parts, and whole networks for the fitted term."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from evospace.cost.count import count_op
from evospace.cost.latency_file import read_latency_table, table_to_json
from evospace.cost.latency_setting import Setting
from evospace.cost.latency_table import BlockTimings, LatencyTable, TimedNetwork, Timing, shapes_of
from evospace.errors import UsageError
from evospace.ops.kinds import KINDS
from evospace.ops.spec import BlockShape, OpSpec
from evospace.profiling.fit import fit_term
from evospace.profiling.networks import around_block, cheapest, spread_networks
from evospace.profiling.runtimes import Run, machine, prepare, require_runtime, threads_of
from evospace.profiling.timing import QUIET, Watch, time_in_turn
from evospace.reading import is_folder
from evospace.runs.files import write_json
from evospace.runs.lock import locked
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import Network, make_head, make_stem

FITTED = 32
"""Whole networks that the four coefficients of the term are fitted on."""
GROUP = 128
"""Operations that are held in memory and timed in turn at once."""
UNKNOWN = 2**52
"""Nanoseconds of the reference before it was run."""
TOGETHER = 10
"""Whole networks in memory at once: a session of one for 224 pixels takes 200 MiB."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is to be measured, where it is stored, and who hears of it."""

    setting: Setting
    skeleton: Skeleton
    classes: int
    names: tuple[str, ...]
    """Operations of the pool."""
    out: Path
    seed: int = 0
    say: Say = lambda text: None
    """Hears a line a phase."""
    live: Say = lambda text: None
    """Hears what is under way, often."""

    @property
    def space(self) -> SearchSpace:
        """Every operation in every block."""
        return SearchSpace.over(self.skeleton.blocks(), self.names)

    def run(self) -> LatencyTable:
        """Measure what the file at `out` does not hold yet; it is written after every group.

        Raises `UsageError` where the file was begun for something else, another process is at it, or the runtime is
        not here.
        """
        require_runtime(self.setting)
        if not is_folder(self.out.parent) or is_folder(self.out):
            raise UsageError(f"--out {self.out}: give a file in a folder that exists, e.g. table.json")
        with alone_at(self.out), threads_of(self.setting):
            table, watch = self._begun()
            table = self._fixed(table, watch)
            for shape in shapes_of(self.skeleton):
                table = self._block(table, watch, shape)
            return self._fitted(table, watch)

    def _begun(self) -> tuple[LatencyTable, Watch]:
        """The table so far, and a watch that knows the machine's best."""
        table = LatencyTable(
            setting=self.setting,
            machine=machine(self.setting),
            skeleton=self.skeleton,
            classes=self.classes,
            reference_ns=UNKNOWN,
        )
        if self.out.exists():
            table = self._same(read_latency_table(self.out), table)
            self.say(f"going on with {self.out}")
            table = self._without_changed(table)
        else:
            write_json(self.out, table_to_json(table))  # tells at once whether it can be written
        sources = {kind: sha for kind, sha in self._sources().items() if sha}
        table = replace(table, sources={**table.sources, **sources})
        return table, reference_watch(table, self.say)

    def _sources(self) -> dict[str, str | None]:
        return {spec.kind: KINDS[spec.kind].source_sha256 for spec in map(OpSpec.parse, self.names)}

    def _without_changed(self, table: LatencyTable) -> LatencyTable:
        """A user's operation that has another source now is measured anew."""
        changed = {kind for kind, sha in self._sources().items() if sha != table.sources.get(kind)}
        kept = table.without(changed)
        if kept is not table:
            self.say(f"measured anew, since --ops has changed: {', '.join(sorted(changed))}")
        return kept

    def _same(self, old: LatencyTable, new: LatencyTable) -> LatencyTable:
        changed = [
            key for key in ("setting", "machine", "skeleton", "classes") if getattr(old, key) != getattr(new, key)
        ]
        if "setting" in changed and "machine" in changed:  # which tells the version of the runtime alone
            changed.remove("machine")
        if changed:
            raise UsageError(
                f"--out {self.out} holds a table of another {' and '.join(changed)}; choose another --out, or remove it"
            )
        return old

    def _fixed(self, table: LatencyTable, watch: Watch) -> LatencyTable:
        if table.fixed:
            return table
        skeleton, last = self.skeleton, self.skeleton.final_resolution
        parts: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {
            "stem": (make_stem(skeleton), image_shape(skeleton)),
            "head": (make_head(skeleton, self.classes), (skeleton.final_channels, last, last)),
        }
        timings = time_in_turn({n: prepare(m, shape, self.setting) for n, (m, shape) in parts.items()}, watch)
        return self._store(replace(table, fixed=timings), watch)

    def _block(self, table: LatencyTable, watch: Watch, shape: BlockShape) -> LatencyTable:
        """Operations of one block shape that the table lacks, a group at a time with the block's base."""
        known = table.blocks[shape].operations if shape in table.blocks else {}
        missing = [name for name in self.names if name not in known]
        for start in range(0, len(missing), GROUP):
            group = missing[start : start + GROUP]
            where = f"block {shapes_of(self.skeleton).index(shape) + 1} of {len(shapes_of(self.skeleton))}"
            text = f"{where} ({shape.in_channels} -> {shape.out_channels}, {shape.resolution} pixels)"
            size = (shape.in_channels, shape.resolution, shape.resolution)
            keys: list[str | None] = [None, *group]
            modules = {key: around_block(shape, key) for key in keys}
            found = self._timed(modules, size, watch, text)
            timings = BlockTimings(
                base=found[None],
                operations={name: found[name] for name in group},
                params={name: count_op(OpSpec.parse(name), shape)["params"] for name in group},
            )
            table = self._store(table.with_block(shape, timings), watch)
            self.say(f"{text}: {len(group)} operations")
        return table

    def _fitted(self, table: LatencyTable, watch: Watch) -> LatencyTable:
        """The term for what the sum misses; a table that has one keeps it when it gets more operations."""
        if table.fit:
            return table
        rng = numpy_generator(self.seed, "profile-fit")
        networks = spread_networks(self.space, FITTED, rng)
        timed = time_networks(table, networks, watch, partial_say(self.live, "whole networks"))
        sums = np.array([float(table.sum_ns(n.architecture)) for n in timed])
        counts = np.array([float(sum(map(len, n.architecture.blocks))) for n in timed])
        parameters = np.array([float(table.parameters(n.architecture)) for n in timed])
        fit = fit_term(sums, counts, parameters, np.array([float(n.timing.ns) for n in timed]))
        self.say(f"{len(timed)} whole networks for the term that the sum misses")
        return self._store(replace(table, networks=tuple(timed), fit=fit), watch)

    def _timed(
        self, modules: Mapping[str | None, nn.Module], size: tuple[int, int, int], watch: Watch, text: str
    ) -> dict[str | None, Timing]:
        runs = dict[str | None, Run]()
        for key, module in modules.items():
            try:
                runs[key] = prepare(module, size, self.setting)
            except UsageError as error:
                raise UsageError(
                    f"{key} at {text}: {error}; leave it out, e.g. with --pool '...:kind!={str(key).partition('_')[0]}'"
                ) from error
        timings = time_in_turn(runs, watch, on_pass=partial_say(self.live, text))
        del runs
        gc.collect()
        return timings

    def _store(self, table: LatencyTable, watch: Watch) -> LatencyTable:
        table = replace(table, reference_ns=max(round(1e9 * watch.best), 1))
        write_json(self.out, table_to_json(table))
        return table


@contextmanager
def alone_at(table: Path) -> Iterator[None]:
    """Raise `UsageError` where another process measures into the file `table`: the last to write would win."""
    with locked(table.with_name(f".{table.name}.lock")) as ours:
        if not ours:
            raise UsageError(f"{table} is being measured by another process; wait for it, or end it")
        yield


def partial_say(say: Say, text: str) -> Callable[[int, int], None]:
    """Tells how many of a group are settled."""
    return lambda settled, total: say(f"{text}: {settled} of {total} settled")


def reference_watch(table: LatencyTable, say: Say) -> Watch:
    """A watch whose reference is the skeleton's cheapest network; `say` hears where it is slower than in the table."""
    skeleton = table.skeleton
    network = Network(skeleton, cheapest(skeleton), table.classes)
    run = prepare(network, image_shape(skeleton), table.setting)
    watch = Watch(reference=run, best=table.reference_ns / 1e9)
    slower = watch.warm_up() / watch.best
    if slower > QUIET:
        say(f"warning: the machine is {slower:.2f} times slower now than when it was profiled")
    return watch


def image_shape(skeleton: Skeleton) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    return skeleton.image_channels, skeleton.image_size, skeleton.image_size


def _of_all(on_pass: Callable[[int, int], None], done: int, total: int, settled: int, _: int) -> None:
    on_pass(done + settled, total)


def time_networks(
    table: LatencyTable,
    networks: Sequence[Architecture],
    watch: Watch,
    on_pass: Callable[[int, int], None] = lambda settled, total: None,
) -> list[TimedNetwork]:
    """Whole networks over the table's skeleton, end to end, in turn; as many at once as fit into memory easily."""
    timed: list[TimedNetwork] = []
    for start in range(0, len(networks), TOGETHER):
        runs = {
            a: prepare(Network(table.skeleton, a, table.classes), image_shape(table.skeleton), table.setting)
            for a in networks[start : start + TOGETHER]
        }
        timings = time_in_turn(runs, watch, on_pass=partial(_of_all, on_pass, len(timed), len(networks)))
        timed += [TimedNetwork(architecture=a, timing=timing) for a, timing in timings.items()]
        runs.clear()
        gc.collect()
    return timed
