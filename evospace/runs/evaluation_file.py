"""Reads what `evaluate` stored beside a checkpoint, in which nothing is trusted. No torch here."""

from pathlib import Path
from typing import Any

from evospace.reading import read_json

FORMAT = 1
LARGEST = 1 << 20
"""No result is larger than this many bytes."""
_NUMBERS = ("loss", "calibration_error", "macs", "params")
_OPTIONAL = ("top5", "latency_ms", "throughput_images_per_s")


def read_evaluation(path: Path) -> dict[str, Any]:
    """One `*-evaluation.json` (docs/retraining.md); raises `OSError`, or `ValueError` that says what is wrong."""
    entry = read_json(path, LARGEST)
    if not isinstance(entry, dict) or type(entry.get("format")) is not int or entry["format"] != FORMAT:
        raise ValueError(f"it is not an evaluation of format {FORMAT}")
    if entry.get("weights") not in ("last", "ema", None) or type(entry.get("seed")) not in (int, type(None)):
        raise ValueError("weights are last or ema, a seed is a whole number")  # null where a checkpoint does not tell
    for key in ("top1", *_NUMBERS):
        if not _number(entry.get(key)):
            raise ValueError(f"{key} is not a number of 0 or more")
    for key in _OPTIONAL:
        if entry.get(key) is not None and not _number(entry[key]):
            raise ValueError(f"{key} is not a number of 0 or more")
    if max(entry["top1"], entry.get("top5") or 0) > 1:
        raise ValueError("top1 and top5 are fractions")
    return {"data": "", **entry}


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63
