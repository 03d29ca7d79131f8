"""Scores architectures with the supernet's weights (docs/method.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evospace.data.splits import Batch, Split
from evospace.devices import out_of_memory
from evospace.space.architecture import Architecture
from evospace.supernet.choice_block import route_of
from evospace.supernet.supernet import SuperNet

SCORING_BATCH = 512
"""Images per forward pass when scoring; has no influence on the scores."""


@dataclass(frozen=True, kw_only=True)
class SharedWeights:
    """BatchNorm is re-estimated for each architecture on the same calibration batches, then accuracy is read."""

    supernet: SuperNet
    calibration: Sequence[Batch]
    scoring: Split
    """Read anew for every architecture, so that a large set need not fit in memory."""

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """The architecture's state as a plain network, BatchNorm calibrated for it."""
        self.supernet.calibrate(architecture, (images for images, _ in self.calibration))
        return self.supernet.extract(architecture).state_dict()

    def score(self, architecture: Architecture) -> float | str:
        """Fraction of the scoring images that the architecture gets right, or the reason why there is none."""
        try:
            self.supernet.calibrate(architecture, (images for images, _ in self.calibration))
            return accuracy(self.supernet, architecture, self.scoring.epoch(SCORING_BATCH))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return "out of memory"


def accuracy(supernet: SuperNet, architecture: Architecture, batches: Iterable[Batch]) -> float | str:
    """Accuracy of one calibrated architecture, or `not finite` where a logit is no number."""
    route = route_of(architecture)
    hits = total = 0
    with torch.no_grad(), supernet.evaluating(architecture):
        for images, labels in batches:
            logits = supernet(images, route)
            if not bool(logits.isfinite().all()):
                return "not finite"
            hits += int((logits.argmax(1) == labels).sum())
            total += len(labels)
    return hits / total
