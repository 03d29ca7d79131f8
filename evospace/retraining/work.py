"""What is to be trained on what: networks found and fitted, images loaded."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evospace.data import ImageData, load_data
from evospace.data.policy import Policy
from evospace.devices import device_of
from evospace.errors import DataError, UsageError
from evospace.networks import FoundNetwork, find_network, find_networks, origin_of, run_of, search_settings
from evospace.ops.user import load_ops, sources_of
from evospace.reading import is_file
from evospace.retraining.config import RetrainConfig
from evospace.retraining.fitting import adapted
from evospace.runs.contents import Origin, hash_of_test, place_of, where_they_lie_now
from evospace.runs.files import file_sha256, this_moment
from evospace.runs.front import read_front
from evospace.runs.network_file import load_network
from evospace.runs.retrain_directory import Job
from evospace.runs.run_directory import RunDirectory
from evospace.space.described import DescribedNetwork

FEW_STEPS = 60
"""BatchNorm's running averages take over a tenth at each step, while weights change fastest at the start: with 22 steps
a network tested at 10 % on digits (39 with the statistics of the batch), with 33 at 54 (70), with 44 at 85 (87)."""


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Networks, images and settings, ready to train."""

    config: RetrainConfig
    root: Path
    data: ImageData
    networks: Mapping[int, DescribedNetwork]
    """By index on the front."""
    starts: Mapping[int, Path | None]
    """The checkpoint that each begins with; `None` for weights drawn anew."""
    start_classes: tuple[str, ...]
    """The names of the classes that those tell apart; empty for weights drawn anew."""
    data_seed: int
    origin: Origin
    """The images of this training."""
    device: str
    contents: Mapping[str, str]
    search: Mapping[str, Any]
    """Settings of the search that found the networks; empty where none is known."""
    doubts: tuple[str, ...]
    """Warnings: test images that may not be unseen, a training too short to be tested."""

    @property
    def jobs(self) -> list[Job]:
        """Every network with every seed; one seed of all comes before the next."""
        seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        return [Job(self.root, index, seed) for seed in seeds for index in self.networks]


def prepare(config: RetrainConfig) -> Retraining:
    """Find the networks and load the images; nothing is trained or written yet."""
    run = run_of(config.network)
    config = _with_the_runs_folder(config, run)
    Policy(aa=config.aa, reprob=config.reprob)  # refuses what it does not know before the images are read
    kinds = load_ops(config.ops)
    found = _networks(config)
    first = found[0].described
    name = config.data or first.data
    if not name:
        raise UsageError("--data is missing: the network was never trained; for example --data fashion-mnist")
    start = load_network(Path(config.init)) if config.init not in ("", "supernet") else None
    data_seed = (start or found[0]).data_seed
    origins = [origin_of(run) if run else found[0].origin, *([start.origin] if start else [])]
    if any(not origin.flip and origin.is_of(name) for origin in origins):
        config = replace(config, flip=False)
    device = device_of(config.device)
    with where_they_lie_now("" if config.data and not config.resume else first.name):
        data = _images(config, name, first.skeleton.image_size, data_seed, device)
    root = Path(config.out) if config.out else _default_root(run, data)
    for origin in origins:
        origin.require_test(config.data, data.name, data.contents)
    begun_as = start.described if start else _as_searched(found[0], run) if run and config.init else None
    networks = {f.index: _for_images(f.described, config, data, name, begun_as) for f in found}
    hashes = {f"network {i:02d}": _hash(described) for i, described in networks.items()}
    starts = {f.index: _start(f, config) for f in found}
    begun = {f"first weights {i:02d}": file_sha256(path)[:16] for i, path in starts.items() if path}
    return Retraining(
        config=replace(config, out=str(root)),  # a process of the queue prepares the same, at another moment
        root=root,
        data=data,
        networks=networks,
        starts=starts,
        start_classes=begun_as.class_names if begun_as else (),
        data_seed=data_seed,
        origin=Origin(data=name, place=place_of(name), test=hash_of_test(data.contents), flip=config.flip),
        device=device,
        search=search_settings(config.network),
        doubts=_doubts(config, data, origins),
        contents={**data.contents, **sources_of(kinds), **hashes, **begun},
    )


def _images(config: RetrainConfig, name: str, searched_at: int, data_seed: int, device: str) -> ImageData:
    """The images of `name`, at the size `searched_at` where none is asked for."""
    data = load_data(
        name,
        data_dir=Path(config.data_dir) if config.data_dir else None,
        image_size=config.image_size or searched_at,
        seed=data_seed,
        flip=config.flip,
        device=device,
        workers=config.workers,
    )
    if len(data.train) < 2:
        raise DataError(f"{name}: {len(data.train)} training images, a training needs at least 2; add images")
    return data


def _doubts(config: RetrainConfig, data: ImageData, origins: Sequence[Origin]) -> tuple[str, ...]:
    """What the user is to be warned of before anything is trained, each once."""
    doubts = [origin.doubt(config.data, data.name, data.contents) for origin in origins if data.divided]
    steps = config.epochs * (len(data.train) // min(config.batch_size, len(data.train)))
    if steps < FEW_STEPS:
        doubts.append(
            f"warning: {steps} steps in all: the averages that BatchNorm tests with do not settle in so few, so that"
            " the test may come out at chance; raise --epochs, or lower --batch-size"
        )
    return tuple(dict.fromkeys(filter(None, doubts)))


def _hash(described: DescribedNetwork) -> str:
    """Of the network whatever it and its images are called: both may be paths, and what lies there may be moved."""
    return hashlib.sha256(json.dumps(replace(described, name="", data="").to_json()).encode()).hexdigest()[:16]


def _with_the_runs_folder(config: RetrainConfig, run: RunDirectory | None) -> RetrainConfig:
    """Where the data lie, as the run says that holds the network; operations are code, and never taken so."""
    if not run or config.data_dir or not origin_of(run).is_of(config.data):
        return config
    return replace(config, data_dir=str(search_settings(config.network).get("data_dir", "")))


def _networks(config: RetrainConfig) -> list[FoundNetwork]:
    if config.network:
        return find_networks(config.network)
    if not config.init or config.init == "supernet":
        raise UsageError("name a network: a published one, FRONT.json#i, a run, network.json or a checkpoint")
    return [find_network(config.init)]


def _start(found: FoundNetwork, config: RetrainConfig) -> Path | None:
    if config.init != "supernet":
        return Path(config.init) if config.init else None
    if found.supernet_weights is None:
        raise UsageError(f"--init supernet: {found.described.name} is not of a run; name RUN or RUN/front.json#i")
    if not is_file(found.supernet_weights):
        raise DataError(f"--init supernet: {found.supernet_weights} is not there; put it back, or train without --init")
    return found.supernet_weights


def _as_searched(found: FoundNetwork, run: RunDirectory) -> DescribedNetwork:
    """A member of the run's front as its supernet was trained: with the normalisation of the search's images."""
    front = read_front(run.front)
    return replace(found.described, mean=front.mean, std=front.std)


def _for_images(
    described: DescribedNetwork, config: RetrainConfig, data: ImageData, name: str, start: DescribedNetwork | None
) -> DescribedNetwork:
    """The network as it is trained; fine-tuned ones keep the normalisation that their weights were trained with."""
    fitted = adapted(described, config, channels=data.image_channels, size=data.image_size)
    if start and start.skeleton.image_channels != data.image_channels:
        text = f"{start.skeleton.image_channels} image channel(s), {name} has {data.image_channels}"
        raise DataError(f"--init {config.init}: trained on {text}; convert the images")
    mean, std = (start.mean, start.std) if start and start.mean else (data.train.mean, data.train.std)
    return fitted.trained_on(name, data.classes, mean, std)


def _default_root(run: RunDirectory | None, data: ImageData) -> Path:
    return run.path / "retrained" if run else Path(f"runs/retrained-{data.name}-{this_moment()}")
