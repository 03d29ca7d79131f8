"""The supernet: one set of weights for every architecture of the active space, and for nothing else."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.supernet.choice_block import ChoiceBlock, Route, route_of
from evospace.supernet.network import Network, make_head, make_stem

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class SuperNet(nn.Module):
    """Stem, choice blocks over the active operations, head. Parameter names equal those of `Network`.

    BatchNorm keeps no running statistics while training (nothing reads them); `calibrate` estimates them for
    one architecture before it is scored.
    """

    def __init__(self, skeleton: Skeleton, space: SearchSpace, classes: int) -> None:
        super().__init__()
        self.skeleton, self.classes = skeleton, classes
        self.stem = make_stem(skeleton)
        pairs = zip(space.candidates, skeleton.blocks(), strict=True)
        self.blocks = nn.ModuleList(ChoiceBlock(names, shape) for names, shape in pairs)
        self.head = make_head(skeleton, classes)
        for norm in _norms(self):
            norm.track_running_stats = False

    def train(self, mode: bool = True) -> "SuperNet":
        """Set the mode of everything; at once where it is set already, since every step of a search asks for it."""
        return self if self.training == mode else super().train(mode)

    def forward(self, images: Tensor, route: Route) -> Tensor:
        """Logits ``N x classes`` of images ``N x C x S x S`` under `route`."""
        features = self.stem(images)
        for block, terms in zip(self.blocks, route, strict=True):
            features = block(features, terms)
        logits: Tensor = self.head(features)
        return logits

    def drop(self, pairs: Iterable[tuple[int, str]]) -> list[nn.Parameter]:
        """Remove the operations of (block, name) pairs; returns the parameters that are gone."""
        gone: list[nn.Parameter] = []
        for index, name in pairs:
            block = self.blocks[index]
            assert isinstance(block, ChoiceBlock)
            gone += block.ops[name].parameters()
            del block.ops[name]
        return gone

    def names(self) -> list[list[str]]:
        """The operations that each block holds by now."""
        return [list(block.ops) for block in self.blocks if isinstance(block, ChoiceBlock)]

    def calibrate(self, architecture: Architecture, batches: Iterable[Tensor]) -> None:
        """Re-estimate BatchNorm statistics for one architecture: reset, then the mean over `batches`."""
        route = route_of(architecture)
        norms = _norms(*self._used(architecture))
        for norm in norms:
            norm.momentum, norm.track_running_stats = None, True
            norm.reset_running_stats()  # does nothing while statistics are not tracked
        self.train()
        with torch.no_grad():
            for images in batches:
                self(images, route)
        for norm in norms:
            norm.track_running_stats = False

    @contextmanager
    def evaluating(self, architecture: Architecture) -> Iterator[None]:
        """Evaluation mode for what `architecture` uses, training mode for everything afterwards.

        A search scores hundreds of architectures, and most modules belong to others.
        """
        used = self.train()._used(architecture)
        for module in used:
            module.eval()
        try:
            yield
        finally:
            for module in used:
                module.train()

    def _used(self, architecture: Architecture) -> list[nn.Module]:
        """Stem, the operations of `architecture`, head."""
        used: list[nn.Module] = [self.stem, self.head]
        for block, names in zip(self.blocks, architecture.blocks, strict=True):
            assert isinstance(block, ChoiceBlock)
            used += [block.ops[name] for name in names]
        return used

    def weights(self) -> dict[str, Tensor]:
        """The state less BatchNorm's statistics: those are of whichever architecture was calibrated last."""
        return {k: v for k, v in self.state_dict().items() if not k.endswith(_STATISTICS)}

    def extract(self, architecture: Architecture) -> Network:
        """The architecture as a plain network with a copy of the supernet's weights and BatchNorm statistics."""
        network = Network(self.skeleton, architecture, self.classes)
        state = self.state_dict()
        network.load_state_dict({key: state[key] for key in network.state_dict()})
        return network


def _norms(*modules: nn.Module) -> list[_BatchNorm]:
    """Those of any dimension: a user's operation may work on tokens."""
    return [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
