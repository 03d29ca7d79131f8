"""What `evospace show` says of a network, and `evospace pools` of a pool."""

import re
from pathlib import Path
from typing import Any

from evospace.errors import DataError, UsageError, reason
from evospace.ops.kinds import gated
from evospace.ops.pools import POOLS
from evospace.ops.spec import OpSpec
from evospace.runs.front import read_front
from evospace.runs.run_directory import RunDirectory
from evospace.space.architecture import Architecture
from evospace.space.published import PUBLISHED, published_architecture, published_skeleton
from evospace.space.skeleton import Skeleton


def describe_network(name: str, *, se: bool = False) -> dict[str, Any]:
    """Costs and blocks of a published network, or of one member of a front (`FRONT.json#i`).

    A run directory, or a front without `#i`, is described by its most accurate member. `macs` are multiply-adds
    (what papers call FLOPs); `flops` counts each as two.
    """
    skeleton, architecture, classes, stored = _find(name)
    architecture = _with_se(architecture) if se else architecture
    counted = _count(name, skeleton, architecture, classes) if se or stored is None else stored
    return {
        "name": name,
        "macs": counted["macs"],
        "flops": 2 * counted["macs"],
        "params": counted["params"],
        "classes": classes,
        "image_size": skeleton.image_size,
        "skeleton": skeleton.name,
        "blocks": [
            {
                "in_channels": shape.in_channels,
                "out_channels": shape.out_channels,
                "stride": shape.stride,
                "resolution": shape.resolution,
                "operations": list(names),
            }
            for shape, names in zip(skeleton.blocks(), architecture.blocks, strict=True)
        ],
    }


def find_network(name: str, *, se: bool) -> tuple[Skeleton, Architecture, int]:
    """Skeleton, architecture and number of classes of what `describe_network` describes."""
    skeleton, architecture, classes, _ = _find(name)
    return skeleton, _with_se(architecture) if se else architecture, classes


def _with_se(architecture: Architecture) -> Architecture:
    return Architecture.of([[gated(OpSpec.parse(op)).name for op in names] for names in architecture.blocks])


def _count(name: str, skeleton: Skeleton, architecture: Architecture, classes: int) -> dict[str, int]:
    from evospace.cost.network_cost import count_network  # loads torch, which takes seconds

    try:
        return count_network(skeleton, architecture, classes)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:  # PyTorch, for sizes past 2^63
        raise DataError(f"{name}: its sizes make no network ({reason(error):.200})") from error


def _find(name: str) -> tuple[Skeleton, Architecture, int, dict[str, int] | None]:
    """Skeleton, architecture, classes, and the costs where a run has stored them; a lone file is not believed."""
    if name.lower() in PUBLISHED:
        key = name.lower()
        pool = tuple(spec.name for spec in POOLS[PUBLISHED[key].pool])
        return published_skeleton(key), published_architecture(key, pool), 1000, None
    text, mark, position = name.rpartition("#") if "#" in name else (name, "", "")
    path = _front_file(Path(text))
    if path is None:
        raise UsageError(
            f"{name!r:.200} is neither a published network ({', '.join(PUBLISHED)}) nor a front.json or run"
        )
    front = read_front(path)
    if not front.members:
        raise DataError(f"{path}: the front has no members")
    number = int(position) if re.fullmatch(r"[0-9]{1,9}", position) else -1
    index = number if mark else len(front.members) - 1
    if not 0 <= index < len(front.members):
        raise UsageError(f"{name!r}: the front has members #0 to #{len(front.members) - 1}")
    member = front.members[index]
    stored = {"macs": member.macs, "params": member.params} if find_run(text) else None
    return front.skeleton, member.architecture, front.classes, stored


def find_run(name: str) -> RunDirectory | None:
    """The run directory called `name`; `None` where it is something else."""
    path = Path(name)
    return RunDirectory(path) if _front_file(path) and (path / "run.db").is_file() else None


def _front_file(path: Path) -> Path | None:
    """The front.json that `path` is or holds; `None` where there is none."""
    try:
        path = path / "front.json" if path.is_dir() else path
        return path if path.exists() else None
    except OSError:  # a name that the file system does not take, a folder that cannot be entered
        return None
