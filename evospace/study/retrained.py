"""One network trained from scratch and tested once, each gone on with where it was ended."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from evospace.errors import BudgetError, CollapseError, DataError, EvospaceError, NotFiniteError, UsageError
from evospace.evaluation.command import evaluate
from evospace.evaluation.settings import EvaluateSettings
from evospace.reading import read_json
from evospace.retraining.command import retrain
from evospace.retraining.config import RetrainConfig

LARGEST = 1 << 20
"""No file that a job keeps about itself is larger than this many bytes."""
TESTED = ("top1", "top5", "loss", "macs", "params", "weights")


def retrained_and_tested(config: RetrainConfig) -> dict[str, Any]:
    """Train the one network that `config` names with its one seed, from where that was ended, and test it once.

    Returns what the test said (docs/retraining.md) and the seconds of the training. The moving average of the weights
    is tested where the recipe keeps one, else the last weights.
    """
    retrain(replace(config, resume=(Path(config.out) / "config.yaml").exists()))
    (trained,) = Path(config.out).glob("net-*/seed-*")
    weights = "ema" if config.model_ema else "last"
    stored = trained / f"{weights}-evaluation.json"
    if not stored.exists():
        checkpoint = str(trained / f"{weights}.safetensors")
        settings = EvaluateSettings(
            checkpoint=checkpoint,
            data_dir=config.data_dir,
            ops=config.ops,
            device=config.device,
            threads=config.threads,
        )
        evaluate(settings)
    entry = read_object(stored)
    seconds = float(read_object(trained / "result.json")["seconds"])
    return {name: entry[name] for name in TESTED} | {"retrain_seconds": seconds}


def is_result(error: EvospaceError, *, alone: bool) -> bool:
    """Whether a failure says something about what was tried: the same would fail again.

    Running out of memory says so only where no other job of the study took memory (`alone`).
    """
    if isinstance(error, UsageError | CollapseError) and "out of memory" in str(error):
        return alone
    return isinstance(error, BudgetError | CollapseError | NotFiniteError)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object that a job keeps about itself; raises `DataError` for anything else."""
    try:
        data = read_json(path, LARGEST)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove the job's folder, and it begins anew") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: no JSON object; remove the job's folder, and it begins anew")
    return data
