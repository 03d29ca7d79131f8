"""Every setting of a study, in one flat record: command line, preset and stored study share it. No torch here."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evospace.cost.budget import parse_budget
from evospace.errors import UsageError, unknown_name
from evospace.reading import is_there
from evospace.settings_file import LARGEST, Ranges, check_out, check_settings, flag, load_settings

Kind = Literal["space-size", "ablation"]
LISTS = ("strategies", "variants", "operations", "lengths")
"""Settings that are lists, with commas between; a study may be given more of each later."""
NOT_PART_OF_THE_RESULT = frozenset({"out", "jobs", "minutes", "device", "data_dir", "debug", "seeds", *LISTS})
"""Settings that may differ when a study is gone on with. Threads are part of it: bits and seconds depend on them."""


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What is compared, on which images, at which cost."""

    kind: Annotated[Kind, tyro.conf.Suppress] = "space-size"
    out: str = ""
    """Folder of the study; one that exists is gone on with."""
    strategies: str = "all"
    """Strategies, with commas between, or all; nse-single is nse with at most one operation a block, nse-published nse
    with the paper's settings. Not among all: nse-evolution, nse-single-evolution, darts-second-order,
    shrinking-by-fitness, shrinking-one-shot, spos-multi, random-multi, random-draw-single (space-size)."""
    variants: str = "all"
    """Variants of nse, with commas between, or all; base is always among them (ablation)."""
    operations: str = "5,9,14,27"
    """Operations per block: nested random subsets of the pool. An ablation takes the largest."""
    lengths: str = "1"
    """Factors of --epochs, such as 1,2,4."""
    seeds: int = 3
    """Seeds 0, 1, ...: each draws its own subset of the pool."""
    equal: Literal["images", "seconds"] = "images"
    """What is the same for all: training images of the supernet, or the estimated seconds of its training (nse's)."""
    epochs: int = 28
    """Epochs of supernet training at length 1, over all rounds of a search together."""
    samples: int = 140
    """Architectures scored, over all rounds of a search together."""
    data: str = ""
    """As for a search."""
    data_dir: str = ""
    """Where the named data sets lie or are downloaded to."""
    image_size: int = 0
    """Pixels; 0 means the data set's own."""
    flip: bool = True
    """As for a search."""
    budget: str = ""
    """What a network may cost, as for a search; no latency."""
    pool: str = "mobile27"
    """As for a search; grouped72 for 72 operations per block."""
    skeleton: str = ""
    """As for a search."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["-b"])] = 128
    """Images per step of supernet training."""
    lr: float = 0.1
    """Peak learning rate of the supernet's weights."""
    calibration_batches: int = 8
    """As for a search."""
    candidates: int = 5
    """K, as for a search, where a strategy reads it."""
    refill: Literal["full", "even"] = "full"
    """As for a search, where a strategy reads it."""
    weights: Literal["fresh", "inherit"] = "inherit"
    """As for a search, where a strategy reads it."""
    initial_weights: Literal["aligned", "independent"] = "aligned"
    """As for a search, of every strategy."""
    initial_gates: Literal["sparse", "uniform"] = "sparse"
    """As for a search, of every strategy."""
    train_gates: Literal["in-budget", "uniform", "fitness"] = "in-budget"
    """As for a search, where a strategy reads it."""
    fitness_pairs: Literal["in-budget", "unconditional"] = "in-budget"
    """As for a search, where a strategy reads it."""
    recipe: str = "small-images"
    """How the best network of each search is trained from scratch, as for `evospace retrain`."""
    retrain_epochs: int = 30
    """In place of the recipe's epochs."""
    retrain_batch_size: int = 128
    """In place of the recipe's batch."""
    retrain_lr: float = 0.1
    """In place of the recipe's peak learning rate."""
    device: str = "auto"
    """auto, cpu or cuda."""
    jobs: int = 1
    """Jobs at the same time, each in a process of its own."""
    threads: int = 1
    """CPU threads of each job."""
    minutes: float = 0.0
    """Stop after so many minutes, everything saved; 0 means run to the end."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)
        check_out(self.out)
        if self.budget and "latency" in (parse_budget(self.budget)[0].metric, *parse_budget(self.budget)[1]):
            raise UsageError(f"--budget {self.budget}: a study counts macs and params; give one of them")
        for name, high in (("operations", 10_000), ("lengths", 1_000)):
            numbers(name, getattr(self, name), high)

    def check_required(self) -> None:
        """Raise `UsageError` where a setting without a default is missing."""
        examples = (("out", "runs/study"), ("data", "digits"), ("budget", "macs=0.15M"))
        for name, example in examples:
            if not getattr(self, name):
                presets = "" if name == "out" else f", or take a preset: --preset {'|'.join(preset_names(self.kind))}"
                raise UsageError(f"--{name} is missing; for example --{name} {example}{presets}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a preset."""
        return dataclasses.asdict(self)


_RANGES: Ranges = (
    ("seeds", 1, 1000),
    ("epochs", 1, 1_000_000),
    ("samples", 1, 10_000_000),
    ("image_size", 0, 1024),
    ("batch_size", 2, 65_536),
    ("lr", 1e-6, 100.0),
    ("calibration_batches", 1, 10_000),
    ("candidates", 2, 1_000),
    ("retrain_epochs", 1, 100_000),
    ("retrain_batch_size", 2, 65_536),
    ("retrain_lr", 1e-7, 100.0),
    ("jobs", 1, 256),
    ("threads", 1, 1024),
    ("minutes", 0.0, LARGEST),
)


def words(text: str) -> tuple[str, ...]:
    """The entries of a list with commas between, each once, in order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


MOST = 10_000
"""Operations per block are never more."""


def numbers(name: str, text: str, high: int) -> tuple[int, ...]:
    """Whole numbers from 1 to `high` of a setting; raises `UsageError` for anything else."""
    parts = words(text)
    found = [int(part) if part.isascii() and part.isdecimal() and len(part) < 10 else 0 for part in parts]
    if not parts or not all(1 <= number <= high for number in found):
        raise UsageError(f"{flag(name)} {text!r:.80}: write whole numbers from 1 to {high}, with commas between")
    return tuple(dict.fromkeys(found))


def merged(old: StudySettings, new: StudySettings) -> StudySettings:
    """`new` with everything that `old` lists too: what the folder of a study is about by now."""
    lists = {name: ",".join(words(f"{getattr(old, name)},{getattr(new, name)}")) for name in LISTS}
    return replace(new, seeds=max(old.seeds, new.seeds), **lists)  # type: ignore[arg-type]


def preset_names(kind: Kind) -> tuple[str, ...]:
    """The presets that ship with EvoSpace."""
    folder = files("evospace.study").joinpath("presets", kind)
    return tuple(sorted(e.name.removesuffix(".yaml") for e in folder.iterdir() if e.name.endswith(".yaml")))


def load_preset(kind: Kind, name: str) -> StudySettings:
    """A shipped preset, or a YAML file of settings; raises `UsageError` where it is neither."""
    path = Path(name)
    if name in preset_names(kind):
        path = Path(str(files("evospace.study") / "presets" / kind / f"{name}.yaml"))
    elif not path.suffix and not is_there(path):
        raise unknown_name("preset", name, preset_names(kind))
    return replace(load_settings(StudySettings, path, f"--preset {name}"), kind=kind)


def listed(names: Sequence[object]) -> str:
    """`a, b and c`, for a person."""
    texts = list(map(str, names))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


@dataclass(frozen=True, kw_only=True)
class RankingSettings:
    """How well the scores of a run rank its networks: some are retrained from scratch and tested once."""

    run: tyro.conf.Positional[str]
    """Run directory of a finished search."""
    networks: int = 20
    """How many, spread evenly over the last round's networks in the budget, ordered by score."""
    recipe: str = "small-images"
    """As for `evospace retrain`."""
    epochs: int = 30
    """In place of the recipe's epochs."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["-b"])] = 128
    """In place of the recipe's batch."""
    lr: float = 0.1
    """In place of the recipe's peak learning rate."""
    seed: int = 0
    """Of every retraining."""
    data_dir: str = ""
    """Where the named data sets lie; default: as the run says."""
    ops: str = ""
    """Python files of your own operations that the run used, separated by commas."""
    device: str = "auto"
    """auto, cpu or cuda."""
    jobs: int = 1
    """Trainings at the same time, each in a process of its own."""
    threads: int = 1
    """CPU threads of each training."""
    minutes: float = 0.0
    """Stop after so many minutes, everything saved; 0 means run to the end."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, _RANKING_RANGES)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


_RANKING_RANGES: Ranges = (
    ("networks", 3, 1000),
    ("epochs", 1, 100_000),
    ("batch_size", 2, 65_536),
    ("lr", 1e-7, 100.0),
    ("seed", -LARGEST, LARGEST),
    ("jobs", 1, 256),
    ("threads", 1, 1024),
    ("minutes", 0.0, LARGEST),
)
RANKING_FREE = frozenset({"run", "data_dir", "ops", "device", "jobs", "minutes", "json", "debug", "networks"})
"""Settings of a ranking that may differ when it is gone on with."""


def again(kind: str, out: str | Path) -> str:
    """The command that goes on with a study."""
    return f"evospace study {kind} --out {shlex.quote(str(out))}"
