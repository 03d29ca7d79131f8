"""What a search wrote for TensorBoard, read back: the supernet's curves."""

import math
from collections.abc import Sequence
from pathlib import Path

from evospace.errors import reason

Curve = Sequence[tuple[int, float]]
"""(epoch counted over all rounds, value)."""
NAMES = ("loss", "accuracy", "expected_cost", "active")


def read_curves(folder: Path, notes: list[str]) -> dict[str, Curve]:
    """The curves by name; empty where there are none. Damaged files are noted and passed over."""
    if not folder.is_dir() or not any(folder.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    try:
        events.Reload()
    except Exception as error:  # of a damaged file: whatever its parts make of it
        notes.append(f"tensorboard/ was passed over: {reason(error)}.")
        return {}
    tags = [(name, f"supernet/{name}") for name in NAMES]
    curves = {name: _finite(events.Scalars(tag)) for name, tag in tags if tag in events.Tags()["scalars"]}
    return {name: curve for name, curve in curves.items() if curve}


def _finite(scalars: Sequence[object]) -> Curve:
    """A diverged epoch has no value that can be drawn."""
    pairs = ((getattr(s, "step", 0), float(getattr(s, "value", math.nan))) for s in scalars)
    return [(step, value) for step, value in pairs if math.isfinite(value)]
