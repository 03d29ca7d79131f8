"""A small front and the flags of a short retraining; `python -m tests.retraining.runs AT OUT` kills itself."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import evospace.runs.autosave
from evospace.cli import main
from evospace.estimation.evaluation import Evaluation
from evospace.runs.contents import UNKNOWN, Origin
from evospace.runs.files import write_json
from evospace.runs.front import Front
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton

FLAGS = ["--epochs", "2", "--batch-size", "512", "--model-ema", "--aa", "trivial", "--lr", "0.05"]
MOMENTS = ((torch.optim.SGD, "step"), (Path, "replace"), (Path, "unlink"), (os, "fsync"))


def front(path: Path, members: int = 2, data: str = "digits", channels: int = 1, origin: Origin = UNKNOWN) -> Path:
    """Write a front of small networks."""
    skeleton = make_skeleton(None, image_size=8, image_channels=channels)
    shapes = skeleton.blocks()
    names = ("mbconv_k3_e1", "mbconv_k5_e1", "mbconv_k3_e3")
    scored = tuple(
        Evaluation(
            architecture=Architecture.of([[names[i]]] * len(shapes)),
            accuracy=0.5 + 0.1 * i,
            macs=100 + i,
            params=10 + i,
            round=1,
        )
        for i in range(members)
    )
    found = Front(
        budget="macs=1M",
        data=data,
        class_names=tuple("0123456789"),
        skeleton=skeleton,
        seed=0,
        members=scored,
        origin=origin,
    )
    write_json(path, found.to_json())
    return path


class Moments:
    """Counts the moments of a retraining and calls `act` at the one numbered `at`."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = -1, act: Callable[[], None] = lambda: None) -> None:
        self.count, self._at, self._act = 0, at, act
        for owner, name in MOMENTS:
            patch.setattr(owner, name, self._around(getattr(owner, name)))
        patch.setattr(evospace.runs.autosave, "SECONDS", 0.0)

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.count == self._at:
                self._act()
            self.count += 1
            return original(*args, **kwargs)

        return wrapped


def weights_in(folder: Path) -> dict[str, bytes]:
    """All checkpoints below a folder, byte for byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    Moments(pytest.MonkeyPatch(), int(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGKILL))
    main(["retrain", sys.argv[2], *FLAGS, "--out", sys.argv[3], "--resume"])
