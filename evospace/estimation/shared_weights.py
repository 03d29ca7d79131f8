"""Scores architectures with the supernet's weights (docs/method.md, section 4)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from evospace.data.splits import Batch, Split
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

    def accuracies(
        self, architectures: Sequence[Architecture], on_scored: Callable[[int], None] = lambda done: None
    ) -> list[float]:
        """Fraction of the scoring images that each architecture gets right, in order."""
        scores = []
        for done, architecture in enumerate(architectures, start=1):
            self.supernet.calibrate(architecture, (images for images, _ in self.calibration))
            scores.append(accuracy(self.supernet, architecture, self.scoring.epoch(SCORING_BATCH)))
            on_scored(done)
        return scores


def accuracy(supernet: SuperNet, architecture: Architecture, batches: Iterable[Batch]) -> float:
    """Accuracy of one calibrated architecture."""
    route = route_of(architecture)
    supernet.eval()
    hits = total = 0
    with torch.no_grad():
        for images, labels in batches:
            hits += int((supernet(images, route).argmax(1) == labels).sum())
            total += len(labels)
    return hits / total
