"""What a round's supernet begins with: weights drawn anew, or those of the round before where they fit."""

from collections.abc import Callable

import torch
from torch import Tensor

from evospace.seeding import derive
from evospace.supernet.network import initialise
from evospace.supernet.supernet import SuperNet
from evospace.training.depthwise import fast_depthwise


def inherit_weights(supernet: SuperNet, previous: dict[str, Tensor]) -> int:
    """Copy the weights of everything that stays from an earlier supernet's state; returns how many tensors."""
    own = supernet.state_dict()
    kept = {key: value for key, value in previous.items() if key in own and own[key].shape == value.shape}
    supernet.load_state_dict(own | kept)
    return len(kept)


def initialised_supernet(make: Callable[[], SuperNet], seed: int, round: int, device: str) -> SuperNet:
    """A supernet with weights fixed by (seed, round), channels_last, on `device`."""
    supernet = make()
    initialise(supernet, torch.Generator().manual_seed(derive(seed, "weights", round)))
    fast_depthwise(supernet)
    moved: SuperNet = supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
