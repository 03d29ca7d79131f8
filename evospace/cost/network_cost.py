"""Cost tables of a skeleton's search space, and the costs of whole networks."""

import torch

from evospace.cost.count import METRICS, count_module, count_op
from evospace.cost.table import CostTable
from evospace.ops.spec import OpSpec
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import Network, make_head, make_stem


def cost_tables(skeleton: Skeleton, space: SearchSpace, classes: int) -> dict[str, CostTable]:
    """The `macs` and `params` tables of a space over `skeleton`."""
    fixed = _fixed(skeleton, classes)
    counts = [
        {name: count_op(OpSpec.parse(name), shape) for name in names}
        for names, shape in zip(space.candidates, skeleton.blocks(), strict=True)
    ]
    return {
        metric: CostTable(
            metric=metric,
            fixed=fixed[metric],
            ops=tuple({name: count[metric] for name, count in block.items()} for block in counts),
        )
        for metric in METRICS
    }


def _fixed(skeleton: Skeleton, classes: int) -> dict[str, int]:
    size, last = skeleton.image_size, skeleton.final_resolution
    with torch.device("meta"):
        stem, head = make_stem(skeleton), make_head(skeleton, classes)
    first = count_module(stem, (1, skeleton.image_channels, size, size))
    final = count_module(head, (1, skeleton.final_channels, last, last))
    return {metric: first[metric] + final[metric] for metric in METRICS}


def count_network(skeleton: Skeleton, architecture: Architecture, classes: int) -> dict[str, int]:
    """The costs of a whole network, counted in one pass: the table's independent check."""
    with torch.device("meta"):
        network = Network(skeleton, architecture, classes)
    size = skeleton.image_size
    return count_module(network, (1, skeleton.image_channels, size, size))
