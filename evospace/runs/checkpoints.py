"""Checkpoints: safetensors files that carry a checksum of their own, and the series a round writes as it trains."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from evospace.errors import DataError, reason
from evospace.runs.files import write_bytes

KEPT = 2
"""Checkpoints of training that are kept: where the newest turns out to be damaged, the one before is used."""
_KEY = "evospace"  # one metadata entry: safetensors writes several in no fixed order
_NAME = re.compile(r"training-(\d{6,})\.safetensors")


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Replace `path` by named tensors and plain JSON values; equal content gives equal bytes."""
    stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    text = json.dumps({"meta": meta, "sha256": _checksum(stored, meta)}, sort_keys=True)
    write_bytes(path, save(stored, {_KEY: text}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and values of a checkpoint.

    Raises `DataError` for a missing, foreign or damaged file. Nothing in it is executed: the format holds no code.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
        meta = header["meta"]
        if not isinstance(meta, dict) or header["sha256"] != _checksum(tensors, meta):
            raise ValueError("its checksum does not fit its content")
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; put it back") from error
    except KeyError as error:
        raise DataError(f"{path}: not a checkpoint of EvoSpace") from error
    except (OSError, ValueError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: damaged or not a checkpoint ({reason(error)})") from error
    return tensors, meta


def _checksum(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class TrainingCheckpoints:
    """`training-NNNNNN.safetensors`: the newest states of the round that is being trained."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        """`warn` is told of every damaged file that is passed over."""
        self._folder, self._warn = folder, warn

    def _files(self) -> list[tuple[int, Path]]:
        """Newest first."""
        found = [(_NAME.fullmatch(path.name), path) for path in self._folder.iterdir()]
        return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)

    def save(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Write the next of the series, then drop all but the newest `KEPT`."""
        files = self._files()
        number = files[0][0] + 1 if files else 1
        save_checkpoint(self._folder / f"training-{number:06d}.safetensors", tensors, meta)
        for _, path in files[KEPT - 1 :]:
            path.unlink(missing_ok=True)

    def newest(self, round: int) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest sound checkpoint of `round`, or `None`."""
        for _, path in self._files():
            try:
                tensors, meta = load_checkpoint(path)
            except DataError as error:
                self._warn(f"warning: {error}; going on from the state stored before it")
                continue
            if meta.get("round") == round:
                return tensors, meta
        return None

    def epochs(self, round: int) -> int:
        """Epochs of `round` that its newest readable checkpoint has behind it, by its header alone; 0 for none."""
        for _, path in self._files():
            with suppress(OSError, ValueError, TypeError, KeyError, RecursionError, safetensors.SafetensorError):
                with safetensors.safe_open(path, framework="pt") as file:
                    meta = json.loads((file.metadata() or {})[_KEY])["meta"]
                if meta["round"] == round:
                    return int(meta["now"]["position"]["epoch"])
        return 0

    def clear(self) -> None:
        """The round is finished and stored elsewhere; what a kill left half-written goes, too."""
        for path in (*(path for _, path in self._files()), *self._folder.glob(".training-*.safetensors.*")):
            path.unlink(missing_ok=True)


class KeptWeights:
    """`alone-KEY.safetensors`: networks that a round trained by themselves, until it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, name: str) -> Path:
        return self._folder / f"alone-{hashlib.sha256(name.encode()).hexdigest()[:16]}.safetensors"

    def get(self, name: str) -> dict[str, Tensor] | None:
        """What was put under `name`; `None` where there is nothing, or it is damaged."""
        try:
            return load_checkpoint(self._path(name))[0]
        except DataError:
            return None

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors."""
        save_checkpoint(self._path(name), tensors, {"name": name})

    def clear(self) -> None:
        """Remove all."""
        for path in self._folder.glob("alone-*.safetensors"):
            path.unlink(missing_ok=True)
