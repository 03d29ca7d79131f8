"""Every setting of a search, in one flat record: command line, YAML file and Python share it. No torch here."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evospace.cost.budget import parse_budget
from evospace.errors import UsageError
from evospace.settings_file import LARGEST, check_out, check_settings, load_settings

NOT_PART_OF_THE_RESULT = frozenset(
    {"data", "out", "resume", "device", "workers", "debug", "max_rounds", "data_dir", "ops", "latency_table"}
)
"""Settings that may differ when a run is resumed: `max_rounds` only stops earlier, and the data, the user's operations
and the latency table are compared by content, from wherever they are named."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Search a Pareto front of architectures by evolving the search space."""

    data: str = ""
    """digits, fashion-mnist, cifar10, cifar100, imagenet, or a folder of images (one sub-folder per class)."""
    budget: str = ""
    """What a network may cost: macs=20M, params=0.5M, latency=3ms (ceilings; units us, ms, s), or a window such as
    macs=290M..310M; after a comma upper limits on further costs: macs=20M,params=0.5M."""
    latency_table: str = ""
    """Table of this device's latencies (see `evospace profile`), for a latency budget."""
    out: str = ""
    """Run directory to write; default runs/<data>-<time>."""
    strategy: str = "nse"
    """How to search: nse (the method), or a rival: one-shot, spos, darts, proxyless, shrinking, regularized-evolution,
    random, random-draw. See docs/strategies.md."""
    seed: int = 0
    """Every random draw derives from it."""
    epochs: int = 20
    """Epochs of supernet training per round."""
    samples: int = 200
    """Architectures inside the budget that are sampled and scored in a round; nse, one-shot and random score 5 % more
    just below it, and nse the front before."""
    max_rounds: int = 0
    """Stop after this many rounds; 0 means as many as it takes to traverse every operation."""
    candidates: int = 5
    """K: operations per block searched in one round; with --strategy shrinking, how many the space is shrunk to."""
    refill: Literal["full", "even"] = "full"
    """New operations of a round: as many as K has room for (the paper), which leaves little for the last rounds where
    few are inherited, or an equal share of those that wait in each block (nse)."""
    pool: str = "mobile27"
    """Pools of operations (see `evospace pools`), with commas between, each perhaps filtered by conditions after
    colons: "mobile27,modern:kernel<=5:kind!=involution". Settings: kernel, expansion, dilation, kind, se."""
    operations: int = 0
    """Use only so many operations of the pool in each block, a random subset by --seed (smaller ones lie inside larger
    ones, but for what is exchanged where they could not reach the budget); 0 means all."""
    ops: str = ""
    """Python files of your own operations, separated by commas; they join the pool."""
    skeleton: str = ""
    """mobile, latency, small8, small32 or small64; default: chosen from the image size."""
    branches: Literal["auto", "multi", "single"] = "auto"
    """Whether a block may use several operations at once, or at most one; auto is what the strategy is made for (multi
    where it can be)."""
    image_size: int = 0
    """Pixels; 0 means the data set's own (of a folder: the median shorter side, at most 224,
    down to a multiple of 8)."""
    data_dir: str = ""
    """Where the named data sets lie or are downloaded to."""
    train_images: int = 0
    """Search with only so many training images, drawn by --seed (held-out ones are among them); 0 means all."""
    flip: bool = True
    """Mirror half of the training images, left to right; not where that changes what they show (text, signs). Digits
    known by name never are."""
    activation: Literal["relu", "swish"] = "relu"
    """Activation of the whole network."""
    se: bool = False
    """Give every operation of the pool a squeeze-excite gate, where its kind has one."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["-b"])] = 128
    """Images per step."""
    lr: float = 0.1
    """Peak learning rate of the supernet's weights."""
    calibration_batches: int = 8
    """Training batches on which BatchNorm is re-estimated before an architecture is scored (authors: 50)."""
    weights: Literal["fresh", "inherit"] = "inherit"
    """Weights of operations that stay: carried over to the next round, or drawn anew each round (the paper)."""
    initial_weights: Literal["aligned", "independent"] = "aligned"
    """How a supernet begins: operations of one kind alike and blocks close to the identity, so that they disturb one
    another less, and new operations like the nearest of the round before; or every weight by itself (the paper)."""
    initial_gates: Literal["sparse", "uniform"] = "sparse"
    """What is likely before anything is learned: few operations in a block, or every architecture alike (the
    papers)."""
    train_gates: Literal["in-budget", "uniform", "fitness"] = "in-budget"
    """What a weight step trains: what the initial gates draw among the architectures whose cost is near the budget,
    what they draw whatever it costs (the paper), or what the fitness draws."""
    gates_window: str = "0.5..1.5"
    """How near, for what is drawn in-budget: multiples of the middle of the budget."""
    fitness_pairs: Literal["in-budget", "unconditional"] = "in-budget"
    """What a fitness step compares: two architectures whose cost is near the budget, drawn by fitness; or in every
    block two subsets drawn by fitness whatever they cost (the paper)."""
    prune_threshold: float = -2.0
    """Drop an operation whose fitness (a logit, less the one it began with) falls below it."""
    lock: bool = True
    """Never prune what the front before has handed on (nse)."""
    rehearse: bool = True
    """Score the front before again, beside the new architectures (nse)."""
    inherit_from: Literal["front", "best"] = "front"
    """Whose operations the next round inherits: all members' of the front, or the most accurate one's (nse)."""
    sampling: Literal["fitness", "evolution"] = "fitness"
    """How a round finds what it scores: all of --samples drawn by fitness (the paper), or half of them and then
    variations of the best, as spos makes them (nse)."""
    darts_order: Literal[1, 2] = 1
    """Order of DARTS' gradient (darts)."""
    shrink_by: Literal["angle", "fitness"] = "angle"
    """What tells which operations to drop (shrinking)."""
    then: Literal["spos", "one-shot"] = "spos"
    """How to search what is left (shrinking)."""
    score_by: Literal["shared-weights", "training"] = "shared-weights"
    """Score by a supernet's weights, or by training each architecture for --epochs (regularized-evolution)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Loader processes for data too large for memory."""
    resume: bool = False
    """Go on in the run directory --out exactly where it stopped; its settings need not be given again."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)
        check_out(self.out)
        if self.budget:
            parse_budget(self.budget)
        parse_window(self.gates_window)

    def check_required(self) -> None:
        """Raise `UsageError` where a setting without a default is missing."""
        if self.resume and not self.out:
            raise UsageError("--resume needs --out with the run directory to go on in")
        for name, example in (("data", "digits"), ("budget", "macs=1M")):
            if not getattr(self, name):
                raise UsageError(f"--{name} is missing; for example --{name} {example}")

    def check_latency(self) -> None:
        """Raise `UsageError` where a latency is asked for and there is no table to tell it."""
        budget, limits = parse_budget(self.budget)
        if "latency" in (budget.metric, *limits) and not self.latency_table:
            raise UsageError(
                f"budget {self.budget!r} needs --latency-table; make one, with the same --pool, by: evospace profile"
                " --image-size S --image-channels C --classes N --out table.json (S, C and N as `evospace check` tells)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a `--config` file."""
        return dataclasses.asdict(self)


def parse_window(text: str) -> tuple[float, float]:
    """The two multiples of `--gates-window`; raises `UsageError` for anything else."""
    low, _, high = text.partition("..")
    try:
        window = float(low), float(high)
    except ValueError:
        window = math.nan, math.nan
    if not 0 <= window[0] <= 1 <= window[1] <= 1000:
        raise UsageError(f"--gates-window {text!r}: write LOW..HIGH, with LOW from 0 to 1 and HIGH from 1 to 1000")
    return window


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("seed", -LARGEST, LARGEST),
    ("epochs", 1, 100_000),
    ("samples", 1, 1_000_000),
    ("operations", 0, 10_000),
    ("max_rounds", 0, 10_000),
    ("candidates", 2, 1_000),
    ("image_size", 0, 1024),
    ("train_images", 0, 2**31),
    ("batch_size", 2, 65_536),
    ("lr", 1e-6, 100.0),
    ("calibration_batches", 1, 10_000),
    ("prune_threshold", -1000.0, 0.0),
    ("workers", 0, 256),
)


def load_config(path: Path, *, begun: bool = False) -> SearchConfig:
    """Read a YAML mapping of settings; raises `UsageError` for unknown keys (near matches named) or wrong types.

    `begun`: those of a run that is there already.
    """
    return load_settings(SearchConfig, path, str(path) if begun else f"--config {path}", begun=begun)
