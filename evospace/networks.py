"""Finds the networks that a command line names: published ones, members of a front, checkpoints, descriptions."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evospace.errors import DataError, UsageError
from evospace.ops.kinds import gated
from evospace.ops.spec import OpSpec
from evospace.reading import is_file
from evospace.runs.contents import UNKNOWN, Origin, hash_of_test, read_contents, read_place
from evospace.runs.front import Front, read_front
from evospace.runs.run_directory import RunDirectory
from evospace.runs.stored_settings import read_config, search_again
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork, published_network
from evospace.space.published import PUBLISHED


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """A network, and what is known of it where it was found."""

    described: DescribedNetwork
    supernet_weights: Path | None = None
    """What it had in the last round's supernet, where a run holds it."""
    checkpoint: Path | None = None
    """Its trained weights (see `evospace.runs.network_file.load_network`), where it was named by them."""
    counted: tuple[int, int] | None = None
    """MACs and parameters as a run stored them; a lone file is not believed."""
    data_seed: int = 0
    """The seed that divided a folder without a test part."""
    origin: Origin = UNKNOWN
    """The images that it was searched or trained on, as far as its file tells; of a run, `origin_of` is believed."""
    index: int = 0
    """Its place on the front."""


def find_networks(name: str) -> list[FoundNetwork]:
    """The networks that `name` stands for: several for a run or a front without `#i`, else one.

    Raises:
        UsageError: it names nothing, or a member that the front does not have.
        DataError: what it names cannot be read.
    """
    if name.lower() in PUBLISHED:
        return [FoundNetwork(described=published_network(name.lower()))]
    text, mark, position = _member_of(name)
    path = _existing(Path(text))
    if path is None:
        if is_file(Path(text) / "run.db"):
            again = search_again(Path(text))
            raise UsageError(f"{text}: no round is finished yet, or front.json was removed; go on with: {again}")
        raise UsageError(
            f"{name!r:.200} is neither a published network ({', '.join(PUBLISHED)}) nor a run, front.json, network.json"
            " or checkpoint"
        )
    if not mark and path.suffix == ".safetensors":
        return [_trained(path)]
    if not mark and path.name == "network.json":
        from evospace.runs.network_file import load_description  # loads torch, which takes seconds

        described, data_seed, origin = load_description(path)
        return [FoundNetwork(described=described, data_seed=data_seed, origin=origin)]
    members = _members(text, path)
    if not mark:
        return members
    number = int(position) if re.fullmatch(r"[0-9]{1,9}", position) else -1
    if not 0 <= number < len(members):
        raise UsageError(f"{name!r}: the front has members #0 to #{len(members) - 1}")
    return [members[number]]


def find_network(name: str, *, se: bool = False) -> FoundNetwork:
    """As `find_networks`; of several the last, which is a front's most accurate one. `se` adds squeeze-excite."""
    found = find_networks(name)[-1]
    return replace(found, described=with_se(found.described), counted=None) if se else found


def with_se(described: DescribedNetwork) -> DescribedNetwork:
    """Every operation with a squeeze-excite gate, where its kind has one."""
    from evospace.ops import build as build  # loads torch; the kinds that ship are registered with it

    blocks = described.architecture.blocks
    gates = Architecture.of([[gated(OpSpec.parse(op)).name for op in names] for names in blocks])
    return replace(described, architecture=gates)


def find_run(name: str) -> RunDirectory | None:
    """The run directory of a search called `name`; `None` where it is something else."""
    path = Path(name)
    return RunDirectory(path) if is_file(path / "run.db") and _existing(path) else None


def run_of(name: str) -> RunDirectory | None:
    """The run directory that holds the network called `name`; `None` where no run does, and for an empty name."""
    if not name:
        return None
    path = Path(_member_of(name)[0])
    return find_run(str(path)) or find_run(str(path.parent if path.name == "front.json" else path))


def search_settings(name: str) -> dict[str, Any]:
    """The settings of the run that the network `name` belongs to; none where it belongs to none.

    Raises `DataError` where that run's cannot be read.
    """
    run = run_of(name)
    try:
        return read_config(run.path) if run else {}
    except UsageError as error:  # it is a run, and was begun with settings
        raise DataError(str(error)) from error


def origin_of(run: RunDirectory) -> Origin:
    """The images that it searched on; raises `DataError` where its `environment.json` does not tell."""
    stored = read_config(run.path)
    return Origin(
        data=str(stored.get("data", "")),
        place=read_place(run.path),
        test=hash_of_test(read_contents(run.path)),
        flip=stored.get("flip", True) is True,
    )


def _member_of(name: str) -> tuple[str, str, str]:
    """Path, `#` and number of `path#number`; the whole where that is a path of its own, or has no `#`."""
    path = Path(name)
    return name.rpartition("#") if "#" in name and not (_existing(path) or is_file(path / "run.db")) else (name, "", "")


def _trained(path: Path) -> FoundNetwork:
    from evospace.runs.network_file import load_network

    stored = load_network(path)
    return FoundNetwork(described=stored.described, checkpoint=path, data_seed=stored.data_seed, origin=stored.origin)


def _members(name: str, path: Path) -> list[FoundNetwork]:
    front = read_front(path)
    if not front.members:
        raise DataError(f"{path}: the front has no members")
    run, beside = find_run(name), run_of(name)
    last = beside.database.summaries()[-1]["round"] if beside else 0
    return [
        FoundNetwork(
            described=_described(f"{name}#{i}", front, i),
            supernet_weights=beside.member(last, i) if beside else None,
            counted=(e.macs, e.params) if run else None,
            data_seed=front.seed,
            origin=front.origin,
            index=i,
        )
        for i, e in enumerate(front.members)
    ]


def _described(name: str, front: Front, index: int) -> DescribedNetwork:
    return DescribedNetwork(
        name=name,
        skeleton=front.skeleton,
        architecture=front.members[index].architecture,
        class_names=front.class_names,
        data=front.data,
    )


def _existing(path: Path) -> Path | None:
    """The file that `path` is, or the `front.json` or `network.json` it holds; `None` where there is none."""
    try:
        if not path.is_dir():
            return path if path.exists() else None
        return next((path / name for name in ("front.json", "network.json") if (path / name).is_file()), None)
    except OSError:  # a name that the file system does not take, a folder that cannot be entered
        return None
