"""Every setting of a retraining, in one flat record: command line, recipe file and Python share it. No torch here."""

import dataclasses
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import tyro

from evospace.cost.budget import parse_budget
from evospace.errors import UsageError, unknown_name
from evospace.reading import is_there
from evospace.settings_file import LARGEST, Ranges, check_out, check_settings, load_settings
from evospace.training.recipe import RANGES, Recipe

NOT_PART_OF_THE_RESULT = frozenset(
    {"network", "init", "data", "out", "resume", "device", "workers", "debug", "data_dir", "ops", "jobs", "seeds"}
)
"""Settings that may differ when a retraining is resumed; more seeds may be added. Where the network and the images lie
are two: what they are, is checked by their contents."""


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(Recipe):
    """Train networks from scratch, or fine-tune them, on all training images; test images decide nothing."""

    network: tyro.conf.Positional[str] = ""
    """nsenet-27, nsenet, nsenet-gpu, FRONT.json#i, a run (all of its front), network.json or a checkpoint; with
    --init CHECKPOINT it may be left out."""
    data: str = ""
    """As for a search; default: what the network was searched or trained on."""
    out: str = ""
    """Folder to write; default RUN/retrained for a network of a run, else runs/retrained-<data>-<time>."""
    seed: int = 0
    """Of the first training; every random draw derives from it."""
    seeds: int = 1
    """Trainings of each network, with seeds one after the other, for a mean and its spread."""
    jobs: int = 1
    """Trainings at the same time, each in a process of its own."""
    threads: int = 0
    """CPU threads of each training, which its bits depend on; 0 means those that PyTorch takes, divided by --jobs. A
    resumed retraining keeps what it was begun with."""
    init: str = ""
    """Weights to begin with: supernet (of a run's front), or a checkpoint, whose head is replaced where the classes
    differ; default: drawn anew."""
    se: bool = False
    """Give every operation a squeeze-excite gate, where its kind has one."""
    activation: Literal["", "relu", "swish"] = ""
    """Activation of the whole network; default: its own."""
    width: float = 1.0
    """Factor of all channels but the first, rounded to multiples of 8."""
    fit_budget: str = ""
    """Find the largest width whose cost meets this budget, e.g. macs=20M (the paper scales its networks by 1.04)."""
    image_size: int = 0
    """Pixels; 0 means the network's own."""
    data_dir: str = ""
    """Where the named data sets lie or are downloaded to."""
    ops: str = ""
    """Python files of your own operations, separated by commas."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Loader processes for data too large for memory."""
    resume: bool = False
    """Go on in --out exactly where it stopped; its settings need not be given again."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, (*RANGES, *_RANGES))
        check_out(self.out)
        if self.fit_budget:
            budget, limits = parse_budget(self.fit_budget)
            if budget.metric == "latency" or limits:
                raise UsageError(f"--fit-budget {self.fit_budget}: give one budget of macs or params")
            if self.width != 1.0:
                raise UsageError("give --width or --fit-budget, not both")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a recipe file."""
        return dataclasses.asdict(self)

    def recipe(self) -> Recipe:
        """What of it is the recipe alone."""
        return Recipe(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Recipe)})


_RANGES: Ranges = (
    ("seed", -LARGEST, LARGEST),
    ("seeds", 1, 1000),
    ("jobs", 1, 256),
    ("threads", 0, 1024),
    ("width", 0.1, 10.0),
    ("image_size", 0, 1024),
    ("workers", 0, 256),
)


SMALL_IMAGES = "small-images"
"""The recipe that is taken where none is named."""


def recipe_names() -> tuple[str, ...]:
    """The recipes that ship with EvoSpace."""
    folder = files("evospace.training").joinpath("recipes")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def recipe_alone(name: str) -> RetrainConfig:
    """As `load_recipe`, for who says himself what is trained, and where.

    Raises `UsageError` for settings besides those of a recipe: a study would train other networks than it found.
    """
    loaded = load_recipe(name)
    alone = RetrainConfig(**vars(loaded.recipe()))
    if more := [f.name for f in dataclasses.fields(alone) if getattr(alone, f.name) != getattr(loaded, f.name)]:
        raise UsageError(f"--recipe {name}: {', '.join(more)} of `evospace retrain`, not of a recipe; leave it out")
    return alone


def load_recipe(name: str) -> RetrainConfig:
    """A shipped recipe, or a YAML file of settings; raises `UsageError` where it is neither.

    A file changes what it names of `SMALL_IMAGES`.
    """
    if name in recipe_names():
        return load_settings(RetrainConfig, Path(str(files("evospace.training") / "recipes" / f"{name}.yaml")), name)
    path = Path(name)
    if not path.suffix and not is_there(path):
        raise unknown_name("recipe", name, recipe_names())
    return load_settings(RetrainConfig, path, f"--recipe {path}", over=load_recipe(SMALL_IMAGES).to_dict())
