"""What `evospace show` says of a network."""

from typing import Any

from evospace.errors import DataError, UsageError, reason
from evospace.networks import find_network
from evospace.space.described import DescribedNetwork


def describe_network(name: str, *, se: bool = False) -> dict[str, Any]:
    """Costs and blocks of a network, by any name that `evospace.networks.find_networks` knows.

    A run directory, or a front without `#i`, is described by its most accurate member. `macs` are multiply-adds
    (what papers call FLOPs); `flops` counts each as two.
    """
    found = find_network(name, se=se)
    described = found.described
    macs, params = found.counted or _count(name, described)
    skeleton = described.skeleton
    return {
        "name": name,
        "macs": macs,
        "flops": 2 * macs,
        "params": params,
        "classes": described.classes,
        "image_size": skeleton.image_size,
        "skeleton": skeleton.name,
        "blocks": [
            {
                "in_channels": shape.in_channels,
                "out_channels": shape.out_channels,
                "stride": shape.stride,
                "resolution": shape.resolution,
                "keeps_shape": shape.keeps_shape,
                "operations": list(names),
            }
            for shape, names in zip(skeleton.blocks(), described.architecture.blocks, strict=True)
        ],
    }


def _count(name: str, described: DescribedNetwork) -> tuple[int, int]:
    from evospace.cost.network_cost import count_network  # loads torch, which takes seconds

    try:
        counted = count_network(described.skeleton, described.architecture, described.classes)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:  # PyTorch, for sizes past 2^63
        raise DataError(f"{name}: its sizes make no network ({reason(error):.200})") from error
    return counted["macs"], counted["params"]
