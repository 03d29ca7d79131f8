"""A network that keeps timm's protocol; its state dict is that of `Network`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from torch import Tensor, nn
from torch.nn import functional

from evospace.deploy.prepare import fold_batch_norms
from evospace.errors import UsageError
from evospace.ops.modern.reparam import reparametrise
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import Network, drop_paths


class TimmNetwork(Network):
    """Images ``N x in_chans x S x S`` to logits ``N x num_classes``, with the methods that timm's tools call."""

    def __init__(
        self,
        described: DescribedNetwork,
        *,
        num_classes: int | None = None,
        in_chans: int | None = None,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        merged: bool = False,
        folded: bool = False,
    ) -> None:
        """What is `None` is as described; `merged` and `folded` as exported weights are.

        Raises `UsageError` for numbers of channels or classes that make no network.
        """
        skeleton = described.skeleton
        channels = skeleton.image_channels if in_chans is None else in_chans
        classes = described.classes if num_classes is None else num_classes
        if channels < 1 or classes < 0:
            raise UsageError(f"in_chans={channels}, num_classes={classes}: at least one channel, no negative number")
        super().__init__(replace(skeleton, image_channels=channels), described.architecture, max(classes, 1))
        if merged or folded:
            self._ship(folded=folded)
        self.in_chans, self.drop_rate = channels, drop_rate
        self.num_features, self.head_hidden_size = skeleton.final_channels, skeleton.head_channels
        self.num_classes = classes
        self.feature_info = [  # under timm's names
            {"module": level["module"], "num_chs": level["channels"], "reduction": level["reduction"]}
            for level in self.feature_info
        ]
        if drop_path_rate:
            drop_paths(self, drop_path_rate)
        self._pool(global_pool)
        if not classes or self._features != self.head_hidden_size:
            self.head[4] = self._classifier(classes)

    def _ship(self, *, folded: bool) -> None:
        for name, part in list(self.named_children()):
            part = reparametrise(part)
            setattr(self, name, fold_batch_norms(part) if folded else part)
        self.train()

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head[4]

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer; `num_classes` 0 leaves features, `global_pool` "" leaves them unpooled."""
        if global_pool is not None:
            self._pool(global_pool)
        self.head[4] = self._classifier(num_classes)
        self.num_classes = num_classes

    @property
    def _features(self) -> int:
        """What enters the last layer: with `catavgmax` twice the channels."""
        pool = self.head[2]
        assert isinstance(pool, SelectAdaptivePool2d)
        return self.head_hidden_size * int(pool.feat_mult())  # type: ignore[no-untyped-call]

    def _classifier(self, classes: int) -> nn.Module:
        if not classes:
            return nn.Identity()
        if isinstance(self.head[3], nn.Identity):
            raise UsageError(f"num_classes={classes} with global_pool='': classes need pooled features; give one")
        like = next(self.stem.parameters())
        return nn.Linear(self._features, classes, device=like.device, dtype=like.dtype)

    def _pool(self, global_pool: str) -> None:
        self.head[2] = SelectAdaptivePool2d(pool_type=global_pool, flatten=False)
        self.head[3] = nn.Flatten() if global_pool else nn.Identity()

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """``N x num_features x H x W`` to logits, or to what enters the last layer."""
        for layer in self.head[:4]:
            features = layer(features)
        if self.drop_rate:
            features = functional.dropout(features, self.drop_rate, self.training)
        logits: Tensor = features if pre_logits else self.head[4](features)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.forward_head(self.forward_features(images))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The chosen maps of the pyramid; the last block's output too, unless `intermediates_only`."""
        assert output_fmt == "NCHW", "the output format is NCHW"
        taken = chosen_levels(len(self.feature_info), indices)
        maps = self.forward_pyramid(x)
        chosen = [maps[i] for i in taken]
        return chosen if intermediates_only else (maps[-1], chosen)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the head, which feature maps do not need."""
        taken = chosen_levels(len(self.feature_info), indices)
        if prune_head:
            self.head = nn.Sequential()
        return taken

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How timm's layer-wise learning rates group parameters."""
        return {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Not offered."""
        assert not enable, "gradient checkpointing is not supported"


def chosen_levels(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Positions among `count` feature maps: all for `None`, the last n for a number; negative ones count from the end.

    Raises `UsageError` for what is not there.
    """
    wanted = list(range(-(count if indices is None else indices), 0)) if not isinstance(indices, Sequence) else indices
    if not all(-count <= i < count for i in wanted):
        raise UsageError(f"feature maps {indices}: the network has {count}")
    return [i % count for i in wanted]
