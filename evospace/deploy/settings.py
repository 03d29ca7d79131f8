"""The flags of `evospace export`. No torch here."""

from dataclasses import dataclass
from typing import Literal

import tyro

from evospace.errors import UsageError
from evospace.settings_file import check_out, check_settings


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Write a network with its weights so that it runs without EvoSpace: as PyTorch code, as ONNX, or for timm."""

    network: tyro.conf.Positional[str] = ""
    """A checkpoint (.safetensors) for trained weights; nsenet-27, nsenet, nsenet-gpu, FRONT.json#i, a run or
    network.json for fresh ones."""
    to: Literal["torch", "onnx", "timm"] = "torch"
    """torch: one Python file and its weights; onnx: one file for any runtime; timm: a folder for timm.create_model."""
    out: str = ""
    """Folder to write; an earlier export in it is replaced."""
    fold_bn: bool = False
    """Fold BatchNorm into the convolution before it, and print how far that moves the logits."""
    seed: int = 0
    """Of fresh weights."""
    ops: str = ""
    """Python files of your own operations, separated by commas."""
    license: str = ""
    """What the model card gives as the licence of the weights."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, (("seed", 0, 2**63 - 1),))
        check_out(self.out)

    def check_required(self) -> None:
        """Raise `UsageError` unless there is a network to export and a folder to write it to."""
        if not self.network:
            raise UsageError("an export needs a network: a checkpoint, nsenet-27, FRONT.json#i, ...")
        if not self.out:
            raise UsageError("an export needs --out with the folder to write")
