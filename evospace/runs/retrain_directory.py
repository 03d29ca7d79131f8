"""`OUT/`: settings, environment and one folder per network and seed of a retraining."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.errors import DataError, UsageError
from evospace.reading import read_json
from evospace.runs.contents import environment, require_contents
from evospace.runs.files import write_json
from evospace.runs.network_file import WEIGHTS
from evospace.runs.stored_settings import store_settings

_BEGUN = ("config.yaml", "environment.json")


def _of_ours(name: str) -> bool:
    """Whether it may lie in a folder whose retraining was ended before it began."""
    return name in _BEGUN or name.startswith(tuple(f".{begun}." for begun in _BEGUN))


@dataclass(frozen=True)
class Job:
    """One training: of network `index` with `seed`."""

    root: Path
    index: int
    seed: int

    @property
    def name(self) -> str:
        """`net-02/seed-0`."""
        return f"net-{self.index:02d}/seed-{self.seed}"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.root / self.name

    @property
    def network(self) -> Path:
        """The description of what is trained."""
        return self.path.parent / "network.json"

    def checkpoint(self, weights: str) -> Path:
        """The `last` or the `ema` weights at the end."""
        return self.path / f"{weights}.safetensors"

    def result(self) -> dict[str, Any] | None:
        """What the training came to; `None` while it is not finished, and where all its weights were removed."""
        if not any(self.checkpoint(weights).is_file() for weights in WEIGHTS):
            return None
        try:
            result = read_json(self.path / "result.json", 1 << 20)
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) else None


def open_retraining(
    root: Path, settings: Mapping[str, Any], changed: list[str] | None, contents: Mapping[str, str], place: str
) -> None:
    """Create the folder, or check that a resumed retraining is the same.

    `changed` lists the settings that differ from the stored ones; `None` means that nothing may be there yet. `place`
    is that of the images. Raises
    `UsageError` for a folder in use or changed settings, and `DataError` for other data or operations.
    The settings become the stored ones, so that the folder alone goes on with what was asked for last.
    """
    try:
        if (root / "config.yaml").exists():
            if changed is None:
                raise UsageError(
                    f"{root} is in use already; add --resume if the same command began it, or choose another --out"
                )
            if changed:
                text = "; ".join(changed)
                raise UsageError(f"{root} was begun with other settings ({text}); use those, or another --out")
            require_contents(root, contents)
            store_settings(root, settings)
            return
        if root.exists() and any(not _of_ours(entry.name) for entry in root.iterdir()):
            raise UsageError(f"{root} is not empty and holds no retraining; choose another --out")
        root.mkdir(parents=True, exist_ok=True)
        seen = {"contents": dict(contents), "place": place}
        write_json(root / "environment.json", environment(settings["threads"]) | seen)
        store_settings(root, settings)  # last: now it is one
    except OSError as error:
        raise UsageError(f"--out {root}: cannot be used ({error.strerror}); choose another") from error


def jobs_in(root: Path) -> list[Job]:
    """The trainings whose folders lie in `root`, by network and seed; raises `DataError` where there are none."""
    found = []
    for path in root.glob("net-*/seed-*"):
        index, seed = path.parent.name.removeprefix("net-"), path.name.removeprefix("seed-")
        if index.isdecimal() and seed.removeprefix("-").isdecimal():
            found.append(Job(root, int(index), int(seed)))
    if not found:
        raise DataError(f"{root}: holds no retrained network; give a checkpoint, or a folder that `retrain` wrote")
    return sorted(found, key=lambda job: (job.index, job.seed))
