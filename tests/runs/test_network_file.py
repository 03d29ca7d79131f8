from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evospace.errors import DataError
from evospace.networks import find_network
from evospace.runs.network_file import TrainedNetwork, load_network, load_weights, save_network
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network


def trained() -> TrainedNetwork:
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    architecture = Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks()))
    described = DescribedNetwork(name="small", skeleton=skeleton, architecture=architecture, class_names=("a", "b"))
    network = Network(skeleton, architecture, 2)
    return TrainedNetwork(described=described, weights=network.state_dict(), training={"seed": 3, "data_seed": 4})


@pytest.mark.parametrize("changes", [{"weights": "\x1b[31m"}, {"seed": "3"}, {"seed": True}, {"weights": ["ema"]}])
def test_what_a_checkpoint_tells_of_itself_is_looked_at(tmp_path: Path, changes: dict[str, Any]) -> None:
    stored = trained()
    save_network(tmp_path / "net.safetensors", replace(stored, training={**stored.training, **changes}))
    with pytest.raises(DataError, match="its weights are called last, ema, and its seed is a whole number"):
        load_network(tmp_path / "net.safetensors")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    stored = trained()
    save_network(tmp_path / "net.safetensors", stored)
    read = load_network(tmp_path / "net.safetensors")
    assert read.described == stored.described
    assert read.training == stored.training
    assert all(torch.equal(read.weights[key], stored.weights[key]) for key in stored.weights)
    assert not read.build().training
    found = find_network(str(tmp_path / "net.safetensors"))
    assert found.checkpoint == tmp_path / "net.safetensors"
    assert found.data_seed == 4


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(number: float, tmp_path: Path) -> None:
    stored = trained()
    described = replace(stored.described, mean=(number,), std=(1.0,))
    for bad in (replace(stored, described=described), replace(stored, training={"crop_pct": number})):
        save_network(tmp_path / "net.safetensors", bad)
        with pytest.raises(DataError, match=r"net\.safetensors: (.*finite|Out of range float)"):
            load_network(tmp_path / "net.safetensors")


@pytest.mark.parametrize(("key", "size"), [("image_size", 65536), ("image_channels", 65)])
def test_images_that_memory_would_not_hold_are_refused(key: str, size: int, tmp_path: Path) -> None:
    stored = trained()
    skeleton = replace(stored.described.skeleton, **{key: size})  # type: ignore[arg-type]
    save_network(tmp_path / "net.safetensors", replace(stored, described=replace(stored.described, skeleton=skeleton)))
    with pytest.raises(DataError, match="images have at most 1024 pixels a side and 64 channels"):
        load_network(tmp_path / "net.safetensors")


@pytest.mark.parametrize("what", ["missing", "foreign", "shape"])
def test_weights_that_do_not_fit_are_named(what: str) -> None:
    stored = trained()
    network, weights = stored.build(), dict(stored.weights)
    if what == "missing":
        del weights["stem.0.weight"]
    elif what == "foreign":
        weights["tail.weight"] = torch.zeros(1)
    else:
        weights["stem.0.weight"] = torch.zeros(8, 1, 3, 3)
    key = "tail.weight" if what == "foreign" else "stem.0.weight"
    with pytest.raises(DataError, match=f"small: weights of another network: {key} is "):
        load_weights(network, weights, "small")


def test_a_description_that_does_not_fit_its_weights_is_refused(tmp_path: Path) -> None:
    stored = trained()
    wide = replace(stored.described, skeleton=stored.described.skeleton.scaled(2.0))
    save_network(tmp_path / "net.safetensors", replace(stored, described=wide))
    with pytest.raises(DataError, match=r"weights of another network: .* the network has"):
        load_network(tmp_path / "net.safetensors").build()


def test_a_small_checkpoint_that_claims_a_huge_network_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = trained()
    wide = replace(stored.described, skeleton=stored.described.skeleton.scaled(2.0))
    made = list[str]()

    def noted(*of: Any) -> Network:
        made.append(torch.empty(0).device.type)
        return Network(*of)

    monkeypatch.setattr("evospace.runs.network_file.Network", noted)
    with pytest.raises(DataError, match=r"weights of another network: .* the network has"):
        replace(stored, described=wide).build()
    assert made == ["meta"]
