"""How one network is trained from scratch or fine-tuned. No torch here."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from evospace.settings_file import Ranges


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with Nesterov momentum or AdamW, warm-up and cosine, and what is done to images, labels and weights.

    Names are timm's where timm has them.
    """

    epochs: int = 30
    """Epochs over all training images."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["-b"])] = 128
    """Images per step."""
    opt: Literal["sgd", "adamw"] = "sgd"
    """sgd (Nesterov) or adamw."""
    lr: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 4e-5
    """None on BatchNorm and biases."""
    warmup_epochs: float = 2.0
    """Epochs from a quarter of the peak to the peak, never more than a fifth of all; then cosine to 0."""
    smoothing: float = 0.1
    """Label smoothing."""
    flip: bool = True
    """Mirror half of the training images, left to right; never for a network of a search with --no-flip."""
    aa: str = ""
    """Augmentation policy: trivial, or rand-mM-nN (RandAugment, magnitude M, N operations)."""
    reprob: float = 0.0
    """Probability of random erasing."""
    mixup: float = 0.0
    """Mixup alpha; 0 means none."""
    cutmix: float = 0.0
    """Cutmix alpha; with --mixup one of the two is drawn for each batch."""
    model_ema: bool = False
    """Keep an exponential moving average of the weights beside the last ones."""
    model_ema_decay: float = 0.9998
    """Of the average; smaller at the start, (1 + step) / (10 + step)."""
    amp: bool = False
    """Compute in bfloat16 where that is safe."""
    drop_path: float = 0.0
    """Probability that an operation's output is dropped, growing from 0 at the first block to this at the last
    (stochastic depth, Huang et al., 2016); blocks that change the shape drop nothing."""
    clip_grad: float = 0.0
    """Largest norm of all gradients together; 0 means no limit."""


RANGES: Ranges = (
    ("epochs", 1, 100_000),
    ("batch_size", 2, 65_536),
    ("lr", 1e-7, 100.0),
    ("momentum", 0.0, 0.9999),
    ("weight_decay", 0.0, 10.0),
    ("warmup_epochs", 0.0, 10_000.0),
    ("smoothing", 0.0, 0.99),
    ("reprob", 0.0, 1.0),
    ("mixup", 0.0, 100.0),
    ("cutmix", 0.0, 100.0),
    ("model_ema_decay", 0.0, 0.999999),
    ("drop_path", 0.0, 0.95),
    ("clip_grad", 0.0, 1e6),
)
