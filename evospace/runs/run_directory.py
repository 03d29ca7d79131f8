"""`runs/<name>/`: config, environment, database, checkpoints, front and pictures of one search."""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from evospace.config import SearchConfig, changed_settings
from evospace.errors import DataError, UsageError
from evospace.reading import read_yaml
from evospace.runs.database import RunDatabase
from evospace.runs.files import write_json, write_text

_PACKAGES = ("evospace", "torch", "torchvision", "numpy", "moocore", "safetensors")


@dataclass(frozen=True)
class RunDirectory:
    """Paths and the rules for opening them."""

    path: Path

    @property
    def database(self) -> RunDatabase:
        """Rounds, ledger, evaluations."""
        return RunDatabase(self.path / "run.db")

    @property
    def front(self) -> Path:
        """The self-contained result."""
        return self.path / "front.json"

    def checkpoint(self, round: int) -> Path:
        """The supernet's weights at the end of a round."""
        return self.path / "checkpoints" / f"round-{round:02d}.safetensors"

    def member(self, round: int, index: int) -> Path:
        """The supernet's weights of one architecture of a round's front, BatchNorm calibrated for it."""
        return self.path / "front" / f"round-{round:02d}-{index}.safetensors"

    def contents(self) -> list[Path]:
        """What a user finds here."""
        names = ("front.json", "fronts.png", "space.png", "run.db", "front", "checkpoints", "tensorboard")
        return [self.path / name for name in names]

    def open(self, config: SearchConfig, fingerprint: str) -> None:
        """Create the directory, or check that a resumed run is the same search on the same data.

        Raises `UsageError` for a non-empty directory without --resume, one that cannot be made or for changed
        settings, and `DataError` for changed data.
        """
        try:
            self._open(config, fingerprint)
        except OSError as error:
            raise UsageError(
                f"--out {self.path}: cannot be used as a run directory ({error.strerror}); choose another"
            ) from error

    def _open(self, config: SearchConfig, fingerprint: str) -> None:
        stored = self.path / "config.yaml"
        if stored.exists():
            if not config.resume:
                raise UsageError(f"{self.path} holds a run already; add --resume to go on, or choose another --out")
            self._check_same(config, fingerprint)
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise UsageError(f"{self.path} is not empty and holds no run; choose another --out")
        for folder in ("checkpoints", "front", "tensorboard"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        write_json(self.path / "environment.json", environment() | {"data_fingerprint": fingerprint})
        write_text(stored, yaml.safe_dump(config.to_dict(), sort_keys=False))

    def _check_same(self, config: SearchConfig, fingerprint: str) -> None:
        old = read_config(self.path)
        changed = changed_settings(old, config.to_dict())
        if changed:
            raise UsageError(
                f"{self.path} was begun with other settings ({'; '.join(changed)}); use those, or another --out"
            )
        known = self._fingerprint()
        if known != fingerprint:
            raise DataError(
                f"the data at {config.data!r} or the file given with --ops is not what {self.path} was begun with;"
                " restore it, or use another --out"
            )

    def _fingerprint(self) -> Any:
        path = self.path / "environment.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))["data_fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: missing or damaged ({error}); choose another --out") from error


def read_config(path: Path) -> dict[str, Any]:
    """The settings a run was begun with; raises `UsageError` where `path` holds no run."""
    try:
        data = read_yaml(path / "config.yaml")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: holds no readable config.yaml; give a run directory") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds no readable config.yaml; give a run directory")
    return data


def environment() -> dict[str, Any]:
    """The software and machine a run used."""
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
    }
    return machine | {"packages": {name: version(name) for name in _PACKAGES}}
