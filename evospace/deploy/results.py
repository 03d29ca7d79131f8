"""Test results that lie beside a checkpoint, and those of the same network trained with other seeds."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evospace.errors import DataError, reason
from evospace.runs.evaluation_file import read_evaluation


def evaluations_of(checkpoint: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """`NAME-evaluation.json` beside `NAME.safetensors`, and all of the seeds: it and the same of the folders `seed-*`.

    The first is `None` where this checkpoint was not tested. Only those of the same data and kind of weights count.
    Raises `DataError` for a file that is damaged.
    """
    folder, name = checkpoint.absolute().parent, f"{checkpoint.stem}-evaluation.json"
    others = sorted(folder.parent.glob(f"seed-*/{name}")) if folder.name.startswith("seed-") else []
    own = _read(folder / name) if (folder / name).is_file() else None
    found = [*([own] if own else []), *(_read(path) for path in others if path != folder / name)]
    return own, [result for result in found if all(result.get(k) == found[0].get(k) for k in ("data", "weights"))]


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_evaluation(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as an evaluation ({reason(error)}); test again, or take it away"
        ) from error


def spread(evaluations: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float, int] | None:
    """Mean, sample standard deviation (0 for one) and number of a result over the seeds; `None` without any."""
    values = [float(result[key]) for result in evaluations if result.get(key) is not None]
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values)
