"""Every random draw comes from a generator derived from (seed, purpose, indices).

There is no generator state to save: a resumed run derives the same generators again.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed for one purpose, e.g. ``derive(0, "weight-step", round, step)``."""
    text = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A numpy generator for one purpose."""
    return np.random.default_rng(derive(seed, purpose, *indices))


def torch_generator(seed: int, purpose: str, *indices: int) -> "torch.Generator":
    """A CPU torch generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, *indices))


def seed_cpu(seed: int) -> None:
    """Seed what is drawn on the CPU, as `torch.manual_seed` does in a hundred times as long, image by image.

    That one formats the call stack for devices that may be initialised later.
    """
    import torch

    torch.default_generator.manual_seed(seed)
