"""How far training turned the weights of every operation (Hu et al., ABS, ECCV 2020, section 3.2)."""

import torch

from evospace.supernet.supernet import SuperNet


def turned(before: SuperNet, after: SuperNet) -> dict[tuple[int, str], tuple[float, float, float]]:
    """Per (block, operation) that `after` holds: <w0, w>, |w0|^2 and |w|^2 over its convolutions and linear layers.

    The key ``(-1, "")`` holds the stem's and head's. The angle of an architecture follows from the sums over its parts.
    An operation without weights adds nothing. `before` may hold more operations.
    """
    pairs = {(b, name): f"blocks.{b}.ops.{name}." for b, names in enumerate(after.names()) for name in names}
    old = before.state_dict()
    weights = {key: value for key, value in after.state_dict().items() if value.ndim >= 2}
    own = {pair: [key for key in weights if key.startswith(prefix)] for pair, prefix in pairs.items()}
    own[-1, ""] = [key for key in weights if not key.startswith("blocks.")]
    found = {}
    for pair, keys in own.items():
        dots = [(_dot(old[k], weights[k]), _dot(old[k], old[k]), _dot(weights[k], weights[k])) for k in keys]
        dot, first, last = (sum(column) for column in zip(*dots, strict=True)) if dots else (0.0, 0.0, 0.0)
        found[pair] = dot, first, last
    return found


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() * b.double()).sum())
