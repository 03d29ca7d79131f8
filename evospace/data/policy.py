"""Stronger augmentation for retraining, by torchvision: RandAugment, TrivialAugment, random erasing, mixup, cutmix."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evospace.errors import UsageError
from evospace.seeding import derive, seed_cpu

_BINS_PER_M = 3
"""torchvision counts magnitudes in 31 bins, timm to 10: at either's end an image is turned by 30 degrees, say."""
_RAND = re.compile(r"rand-m(\d{1,2})-n(\d)")
Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What happens to one image after its crop and mirroring; every draw depends on a seed and the image alone."""

    aa: str = ""
    """`rand-mM-nN` (RandAugment, Cubuk et al., 2020: N operations of magnitude M, 0 to 10 as timm counts), `trivial`
    (TrivialAugment, Mueller and Hutter, 2021) or empty for neither."""
    reprob: float = 0.0
    """Probability that a rectangle is erased (Zhong et al., Random Erasing, 2020): filled with the mean colour."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for an unknown policy."""
        match = _RAND.fullmatch(self.aa)
        if self.aa not in ("", "trivial") and not (match and int(match[1]) <= 10 and int(match[2]) >= 1):
            raise UsageError(f"--aa {self.aa!r}: write trivial, or rand-mM-nN with M from 0 to 10 and N from 1 to 9")

    def __bool__(self) -> bool:
        return bool(self.aa) or self.reprob > 0

    def transform(self, mean: Sequence[float]) -> Transform:
        """A function of one image, uint8 C x H x W; it draws from PyTorch's global generator."""
        from torchvision.transforms import v2

        steps: list[torch.nn.Module] = []
        if match := _RAND.fullmatch(self.aa):
            steps.append(v2.RandAugment(num_ops=int(match[2]), magnitude=_BINS_PER_M * int(match[1])))
        elif self.aa:
            steps.append(v2.TrivialAugmentWide())
        if self.reprob:
            steps.append(v2.RandomErasing(p=self.reprob, value=[round(255 * m) for m in mean]))
        transform: Transform = v2.Compose(steps)
        return transform


def apply_policy(images: Tensor, indices: Tensor, transform: Transform, seed: int) -> Tensor:
    """`transform` of every image of uint8 B x C x S x S; image `indices[i]` of the data draws from (seed, index)."""
    changed = []
    with torch.random.fork_rng(devices=[]):
        for image, index in zip(images.cpu(), indices.tolist(), strict=True):
            seed_cpu(derive(seed, "policy", index))
            changed.append(transform(image))
    return torch.stack(changed).to(images.device)


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mixing(classes: int, *, mixup: float, cutmix: float) -> Mix | None:
    """Mixup (Zhang et al., 2018), cutmix (Yun et al., 2019) or, where both are above 0, either for each batch.

    The function takes images B x C x S x S and labels B, gives images and soft labels B x classes, and draws from
    PyTorch's global generator. `None` where both are 0; they are the parameters of the Beta distribution.
    """
    from torchvision.transforms import v2

    kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha > 0]
    if not chosen:
        return None
    mix: Mix = v2.RandomChoice(chosen) if len(chosen) > 1 else chosen[0]
    return mix
