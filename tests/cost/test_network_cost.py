import pytest
import torch

from evospace.cost.network_cost import cost_tables, count_network
from evospace.ops.pools import POOLS
from evospace.space.architecture import Architecture
from evospace.space.published import PUBLISHED, published_architecture, published_skeleton
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.supernet.network import Network

GOLDEN = [
    ("nsenet-27", False, 326_325_200, 4_570_464),
    ("nsenet", False, 330_953_544, 4_564_000),
    ("nsenet-gpu", False, 1_471_130_624, 15_742_296),
    ("nsenet-27", True, 328_334_608, 6_588_572),
    ("nsenet", True, 333_940_328, 7_563_774),
    ("nsenet-gpu", True, 1_476_155_392, 20_780_744),
]


def published(name: str, se: bool) -> tuple[Skeleton, Architecture]:
    pool = POOLS[PUBLISHED[name].pool]
    names = tuple((spec.with_se() if se else spec).name for spec in pool)
    return published_skeleton(name), published_architecture(name, names)


@pytest.mark.parametrize(("name", "se", "macs", "params"), GOLDEN)
def test_golden_numbers_by_independent_count(name: str, se: bool, macs: int, params: int) -> None:
    assert count_network(*published(name, se), 1000) == {"macs": macs, "params": params}


@pytest.mark.parametrize(("name", "se", "macs", "params"), GOLDEN)
def test_golden_numbers_by_table(name: str, se: bool, macs: int, params: int) -> None:
    skeleton, architecture = published(name, se)
    required = tuple(not shape.keeps_shape for shape in skeleton.blocks())
    tables = cost_tables(skeleton, SearchSpace(architecture.blocks, required), 1000)
    assert {metric: table.cost(architecture) for metric, table in tables.items()} == {
        "macs": macs,
        "params": params,
    }
    assert [table.metric for table in tables.values()] == list(tables)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_map_images_to_logits(name: str) -> None:
    with torch.device("meta"):
        network = Network(*published(name, True), 1000)
        logits = network(torch.empty(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
