"""Files that hold one network: a description (`network.json`), or a description with weights (a checkpoint)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evospace.errors import DataError, MissingOperationError, reason
from evospace.reading import is_folder, is_there, read_json
from evospace.runs.checkpoints import load_checkpoint, save_checkpoint
from evospace.runs.contents import UNKNOWN, Origin, hash_of_test
from evospace.runs.files import write_json
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import Network

WEIGHTS = ("last", "ema")
"""Those after the last step of a training, and their moving average."""
LARGEST = 1 << 24
"""No description is larger than this many bytes."""
MOST_PARAMETERS = 2_000_000_000
"""Of a network that memory is taken for: 8 GB of weights. No network of these search spaces comes near."""


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with its weights, and how it came by them."""

    described: DescribedNetwork
    weights: Mapping[str, Tensor]
    """A state dict of `Network`, on the CPU."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Recipe, seed, epochs, data (seed, contents, place) and which weights these are: plain JSON values."""

    @property
    def data_seed(self) -> int:
        """What divided a folder without a test part: another seed would train on what was test images."""
        seed = self.training.get("data_seed", 0)
        return seed if type(seed) is int else 0

    @property
    def crop_pct(self) -> float | None:
        """What part of an image's shorter side it was trained to be tested on (the middle); `None`: not known."""
        return crop_of(self.training)

    @property
    def origin(self) -> Origin:
        """The images that it was trained on."""
        contents, place = self.training.get("contents"), self.training.get("place")
        parts = {str(k): str(v) for k, v in contents.items()} if isinstance(contents, dict) else {}
        recipe = self.training.get("recipe")
        return Origin(
            data=self.described.data,
            place=place if isinstance(place, str) else "",
            test=hash_of_test(parts),
            flip=not (isinstance(recipe, dict) and recipe.get("flip") is False),
        )

    def build(self) -> Network:
        """The network with its weights, in eval mode; raises `DataError` where they do not fit it.

        That is looked at before memory is taken: the description of a small file may claim a huge network.
        """
        described = self.described
        require_weights_of(planned(described), self.weights, described.name)
        network = Network(described.skeleton, described.architecture, described.classes)
        network.load_state_dict(dict(self.weights))
        return network.eval()


def crop_of(training: Mapping[str, Any]) -> float | None:
    """`crop_pct` of stored `training`, where it is one."""
    stored = training.get("crop_pct")
    return stored if type(stored) is float and 0.1 <= stored <= 1 else None


def planned(described: DescribedNetwork) -> Network:
    """The network on the `meta` device, where it takes no memory.

    Raises `DataError` for sizes that make no network, and for more than `MOST_PARAMETERS`.
    """
    try:
        with torch.device("meta"):
            network = Network(described.skeleton, described.architecture, described.classes)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:  # sizes past 2^63
        raise DataError(f"{described.name}: its sizes make no network ({reason(error):.200})") from error
    if sum(parameter.numel() for parameter in network.parameters()) > MOST_PARAMETERS:
        raise DataError(f"{described.name}: a network of more than {MOST_PARAMETERS:,} parameters")
    return network


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Put `weights` into `network`; raises `DataError` where they do not fit it."""
    require_weights_of(network, weights, name)
    network.load_state_dict(dict(weights))


def require_weights_of(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Raise `DataError` that tells the first of `weights` that is missing, foreign to `network` or of another shape."""
    own = network.state_dict()
    for key in sorted(own.keys() | weights.keys()):
        if key not in weights:
            raise DataError(f"{name}: weights of another network: {key} is missing")
        if key not in own:
            raise DataError(f"{name}: weights of another network: {key} is foreign to it")
        if own[key].shape != weights[key].shape:
            shapes = f"{tuple(weights[key].shape)}, the network has {tuple(own[key].shape)}"
            raise DataError(f"{name}: weights of another network: {key} is {shapes}")


def save_network(path: Path, network: TrainedNetwork) -> None:
    """Replace `path` by a checkpoint: weights, description and training, with a checksum over all."""
    meta = {"network": network.described.to_json(), "training": dict(network.training)}
    save_checkpoint(path, network.weights, meta)


def load_network(path: Path) -> TrainedNetwork:
    """Read a checkpoint that `save_network` wrote.

    Raises `DataError` for a missing, damaged or foreign file. Nothing in it is executed.
    """
    if is_folder(path):
        raise DataError(f"{path}: a folder, not a checkpoint; name a .safetensors file in it")
    if not is_there(path):
        raise DataError(f"{path}: there is no such checkpoint; name one that `retrain` wrote, or its folder")
    weights, meta = load_checkpoint(path)
    if not isinstance(meta.get("network"), dict) or not isinstance(meta.get("training"), dict):
        raise DataError(f"{path}: a checkpoint of EvoSpace, but not of a retrained network; give one of `retrain`")
    try:
        described = DescribedNetwork.from_json(meta["network"])
        json.dumps(meta["training"], allow_nan=False)
    except (DataError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    weights_are, seed = (meta["training"].get(name) for name in ("weights", "seed"))
    if weights_are not in (None, *WEIGHTS) or type(seed) not in (int, type(None)):
        raise DataError(f"{path}: its weights are called {', '.join(WEIGHTS)}, and its seed is a whole number")
    return TrainedNetwork(described=described, weights=weights, training=meta["training"])


def save_description(path: Path, described: DescribedNetwork, data_seed: int = 0, origin: Origin = UNKNOWN) -> None:
    """Replace `path` by `network.json`, which any command takes for a network.

    `data_seed` is what divided the folder it was searched on, and `origin` says which, so that no image of the search
    is tested on later.
    """
    write_json(path, described.to_json() | {"data_seed": data_seed, "origin": origin.to_json()})


def load_description(path: Path) -> tuple[DescribedNetwork, int, Origin]:
    """Read `network.json`, its data seed (0 where it names none) and its origin (empty where it names none).

    Raises `DataError` for a missing, damaged or foreign file.
    """
    try:
        content = read_json(path, LARGEST)
        described = DescribedNetwork.from_json(content)
        seed = content.get("data_seed", 0)
        if type(seed) is not int:
            raise DataError("data_seed is a whole number")
        return described, seed, Origin.from_json(content.get("origin", {}))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as a network ({reason(error)})") from error
    except (DataError, MissingOperationError) as error:
        raise type(error)(f"{path}: {error}") from error
