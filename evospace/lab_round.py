"""What a trained round can tell the strategy: `evospace.strategies.contract.TrainedRound`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evospace.estimation.angles import turned
from evospace.estimation.shared_weights import SharedWeights
from evospace.estimation.trained_alone import TrainedAlone
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.supernet.supernet import SuperNet


@dataclass(frozen=True, kw_only=True)
class LabRound:
    """One trained round: `evospace.strategies.contract.TrainedRound`."""

    space: SearchSpace
    probabilities: Sequence[np.ndarray]
    fitness: Mapping[tuple[int, str], float]
    pruned: Sequence[tuple[int, str, int]] = ()
    estimator: SharedWeights | TrainedAlone
    summary: dict[str, Any]
    scores: Callable[[Sequence[Architecture]], list[float | str]]
    initial: Callable[[], SuperNet] | None = None
    """The first round's supernet as it was before training."""

    def score(self, architectures: Sequence[Architecture]) -> list[float | str]:
        """Accuracy, or why there is none."""
        return self.scores(architectures)

    def turned(self) -> dict[tuple[int, str], tuple[float, float, float]]:
        """<w0, w>, |w0|^2 and |w|^2 per active (block, operation), and of the shared part."""
        assert self.initial is not None
        assert isinstance(self.estimator, SharedWeights)
        return turned(self.initial(), self.estimator.supernet)
