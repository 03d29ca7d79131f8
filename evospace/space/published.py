"""The three networks of the NSE paper, by name."""

from dataclasses import dataclass

from evospace.errors import unknown_name
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton, make_skeleton


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published network: its pool's name, and per block positions in that pool in the authors' order."""

    pool: str
    skeleton: str
    width: float
    repeats: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]


PUBLISHED: dict[str, Published] = {
    "nsenet-27": Published(
        pool="mobile27",
        skeleton="mobile",
        width=1.04,
        repeats=(1, 2, 2, 2, 2, 3, 0),
        blocks=(
            *((0,), (6,), (3,), (0,), (16,), (3,), (9,), (11, 17), (9, 2)),
            *((12,), (1, 6), (9, 12), (9,), (17, 14), (21,), (3,), (13,), (19, 3, 14)),
        ),
    ),
    "nsenet": Published(
        pool="grouped72",
        skeleton="mobile",
        width=1.045,
        repeats=(1, 1, 2, 3, 2, 3, 0),
        blocks=(
            *((0,), (34,), (3,), (52,), (35,), (38,), (17, 11, 49), (41,), (35,)),
            *((12,), (1, 10, 6), (9,), (0, 9), (35, 52, 61), (10, 32), (3, 57), (13,), (3, 19, 44)),
        ),
    ),
    "nsenet-gpu": Published(
        pool="latency19",
        skeleton="latency",
        width=1.0,
        repeats=(0, 1, 3, 4, 2),
        blocks=(
            *((15,), (11,), (1, 17), (16, 1), (11,), (11,), (2, 7)),
            *((3,), (1, 6), (11,), (11, 6), (8, 2), (0, 1, 8, 11), (2, 6, 8, 12, 14)),
        ),
    ),
}
"""Classes 1000, image size 224, 3 channels."""


def published_skeleton(name: str) -> Skeleton:
    """The skeleton of a published network; raises `UsageError` for an unknown name."""
    if name not in PUBLISHED:
        raise unknown_name("published network", name, PUBLISHED)
    network = PUBLISHED[name]
    skeleton = make_skeleton(network.skeleton, image_size=224, image_channels=3)
    return skeleton.with_repeats(network.repeats).scaled(network.width)


def published_architecture(name: str, pool: tuple[str, ...]) -> Architecture:
    """A published network's architecture, given the operation names of its pool in order."""
    return Architecture.of([[pool[i] for i in block] for block in PUBLISHED[name].blocks])
