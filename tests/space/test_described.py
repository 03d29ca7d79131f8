from collections.abc import Callable
from typing import Any

import pytest

from evospace.errors import DataError
from evospace.networks import find_network
from evospace.space.described import DescribedNetwork
from evospace.space.published import PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_description_comes_back_as_it_was(name: str) -> None:
    described = find_network(name).described
    assert DescribedNetwork.from_json(described.to_json()) == described
    trained = described.trained_on("pets", ["cat", "</script>"], [0.1, 0.2, 0.3], [1, 1, 1])
    assert DescribedNetwork.from_json(trained.to_json()) == trained
    assert trained.classes == 2
    assert trained.input_shape == (3, 224, 224)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format=2),
        lambda d: d.update(format=True),
        lambda d: d.pop("skeleton"),
        lambda d: d.update(class_names=[]),
        lambda d: d.update(class_names=[1]),
        lambda d: d.update(mean=[0.5], std=[0.5]),
        lambda d: d.update(mean=["0", "0", "0"], std=[1, 1, 1]),
        lambda d: d.update(architecture=[["mbconv_k3_e1"]]),
        lambda d: d.update(architecture=[[]] * len(d["architecture"])),
        lambda d: d.update(operations={"mbconv_k3_e1": {"kind": "mbconv"}}),
        lambda d: d["operations"]["mbconv_k3_e1"].update(source_sha256="0" * 64),
        lambda d: d["operations"]["mbconv_k3_e1"].update(source_sha256=3),
        lambda d: d["skeleton"].update(head_channels=10**9),
    ],
)
def test_a_damaged_description_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    data = find_network("nsenet-27").described.to_json()
    change(data)
    with pytest.raises(DataError):
        DescribedNetwork.from_json(data)


@pytest.mark.parametrize("data", [None, [], "text", 3, {}])
def test_something_else_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match="not a network's description"):
        DescribedNetwork.from_json(data)
