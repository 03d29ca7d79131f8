"""Settings of `evospace evaluate`. No torch here."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from evospace.settings_file import Ranges, check_settings


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Test trained networks on test images, which decide nothing in a search or training."""

    checkpoint: tyro.conf.Positional[str]
    """A checkpoint of `evospace retrain`, or the folder it wrote (every network, seed and kind of weights in it)."""
    data: str = ""
    """As for a search; default: what the network was trained on."""
    data_dir: str = ""
    """Where the named data sets lie or are downloaded to."""
    ops: str = ""
    """Python files of your own operations, separated by commas."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["-b"])] = 256
    """Images per forward pass; the throughput is that of such batches."""
    threads: int = 1
    """Threads on a CPU."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Loader processes for data too large for memory."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)


_RANGES: Ranges = (("batch_size", 1, 65_536), ("threads", 1, 1024), ("workers", 0, 256))
