import pytest

from evospace.errors import UsageError
from evospace.ops.pools import POOLS
from evospace.space.published import PUBLISHED, published_architecture, published_skeleton
from evospace.space.search_space import SearchSpace


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_in_their_space(name: str) -> None:
    pool = tuple(spec.name for spec in POOLS[PUBLISHED[name].pool])
    skeleton = published_skeleton(name)
    assert published_architecture(name, pool) in SearchSpace.over(skeleton.blocks(), pool)
    assert (skeleton.image_size, skeleton.image_channels) == (224, 3)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("nsenet-27", [16, 24, 40, 80, 96, 200, 336]),
        ("nsenet", [16, 24, 40, 80, 104, 200, 336]),
        ("nsenet-gpu", [16, 32, 64, 128, 256]),
    ],
)
def test_widths(name: str, channels: list[int]) -> None:
    assert [stage.channels for stage in published_skeleton(name).stages] == channels


def test_positions_read_the_pool_in_its_order() -> None:
    pool = tuple(spec.name for spec in POOLS["mobile27"])
    blocks = published_architecture("nsenet-27", pool).blocks
    assert blocks[0] == ("mbconv_k3_e1",)
    assert blocks[7] == ("mbconv_k5_e6", "mbconv_k9_e6")
    assert blocks[14] == ("factorized_k5_e1",)


def test_an_unknown_network_names_near_matches() -> None:
    with pytest.raises(UsageError, match="nsenet-27"):
        published_skeleton("nsenet27")
