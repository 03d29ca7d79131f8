import numpy as np
import pytest
import torch

from evospace.ops.pools import pool_names
from evospace.profiling.networks import BAND, around_block, band_networks, cheapest, spread_networks
from evospace.space.search_space import SearchSpace
from evospace.supernet.network import Network
from tests.profiling.tables import OPS, TINY, made_table

SPACE = SearchSpace.over(TINY.blocks(), pool_names("mobile27"))


@pytest.mark.parametrize("name", [None, *OPS])
def test_a_block_stands_between_two_convolutions(name: str | None) -> None:
    for block in TINY.blocks():
        network = around_block(block, name)
        images = torch.rand(2, block.in_channels, block.resolution, block.resolution)
        size = block.out_resolution
        assert network(images).shape == (2, block.out_channels, size, size)
        assert len(network.ops) == (not block.keeps_shape) + (name is not None)


def test_the_cheapest_network_is_one() -> None:
    assert cheapest(TINY).blocks == ((), ("mbconv_k3_e1",), ())
    assert Network(TINY, cheapest(TINY), 3)(torch.rand(2, 1, 8, 8)).shape == (2, 3)


def test_networks_of_every_density() -> None:
    found = spread_networks(SPACE, 60, np.random.default_rng(0))
    assert len(set(found)) == 60
    assert all(a in SPACE for a in found)
    counts = [sum(map(len, a.blocks)) for a in found]
    assert min(counts) <= 2
    assert max(counts) >= 6


def test_networks_near_one_latency_lie_evenly_in_the_band() -> None:
    table = made_table(TINY, SPACE.candidates[0])
    middle = table.predict_ns(spread_networks(SPACE, 9, np.random.default_rng(1))[-1])
    found = band_networks(SPACE, table, middle, 10, np.random.default_rng(2))
    ratios = sorted(table.predict_ns(a) / middle for a in found)
    assert len(found) >= 8
    assert all(1 - BAND <= r <= 1 + BAND for r in ratios)
    assert ratios[0] < 0.96
    assert ratios[-1] > 1.04
