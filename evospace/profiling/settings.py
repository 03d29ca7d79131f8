"""The flags of `evospace profile`. No torch here."""

from dataclasses import dataclass
from typing import Literal

from evospace.cost.latency_setting import Setting
from evospace.errors import UsageError
from evospace.settings_file import LARGEST, Ranges, check_out, check_settings

_RANGES: Ranges = (
    ("networks", 4, 1000),
    ("image_channels", 1, 64),
    ("classes", 1, 100_000),
    ("seed", -LARGEST, LARGEST),
)


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """Measure the latency of every operation of a pool on this device, for --budget latency=...; or verify a table."""

    skeleton: str = ""
    """mobile, latency, small8, small32 or small64; default: chosen from the image size."""
    pool: str = "mobile27"
    """Pools of operations, as for a search."""
    ops: str = ""
    """Python files of your own operations, separated by commas."""
    se: bool = False
    """As for a search."""
    activation: Literal["relu", "swish"] = "relu"
    """As for a search."""
    image_size: int = 224
    """Pixels."""
    image_channels: int = 3
    """1 for grey images, 3 for colours."""
    classes: int = 1000
    """Number of classes."""
    runtime: Literal["torch", "onnxruntime"] = "torch"
    """What runs the networks."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where they run."""
    batch: int = 1
    """Images in one forward pass; a latency is that of the whole batch."""
    threads: int = 1
    """Threads of the runtime."""
    out: str = ""
    """The table to write, e.g. table.json; a table begun with the same settings is gone on with."""
    verify: str = ""
    """A finished table to check on networks it has not seen; its own settings are used."""
    networks: int = 40
    """Unseen networks that --verify measures; half of them lie within 10 % of one latency."""
    seed: int = 0
    """Which networks are measured."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)
        check_out(self.out)
        _ = self.setting  # checks its own

    @property
    def setting(self) -> Setting:
        """What the latencies belong to."""
        return Setting(runtime=self.runtime, device=self.device, batch=self.batch, threads=self.threads)

    def check_required(self) -> None:
        """Raise `UsageError` unless there is one thing to do."""
        if bool(self.out) == bool(self.verify):
            raise UsageError("a profile needs --out table.json to write, or --verify table.json to check")
