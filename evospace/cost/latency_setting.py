"""What a latency belongs to, besides the machine. No torch here."""

from dataclasses import dataclass
from typing import Literal, get_args

from evospace.errors import UsageError

Runtime = Literal["torch", "onnxruntime"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a latency belongs to, besides the machine."""

    runtime: Runtime = "torch"
    device: Device = "cpu"
    batch: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.runtime not in get_args(Runtime) or self.device not in get_args(Device):
            raise UsageError(
                f"runtime {self.runtime!r:.40}, device {self.device!r:.40}: allowed are torch and onnxruntime, cpu and"
                " cuda"
            )
        for name, high in (("batch", 4096), ("threads", 1024)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= high:
                raise UsageError(f"--{name} {value!r:.40}: allowed are 1 to {high}")

    def __str__(self) -> str:
        return f"{self.runtime} on {self.device}, batch {self.batch}, {self.threads} thread(s), float32"
