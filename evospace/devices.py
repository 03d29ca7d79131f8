"""The device that is computed on."""

import torch

from evospace.errors import UsageError


def device_of(name: str) -> str:
    """`cpu` or `cuda` for `auto`, `cpu` or `cuda`; raises `UsageError` for one that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {name}: allowed are auto, cpu and, where PyTorch finds a GPU, cuda")
    return name


def rng_devices(device: str) -> list[int]:
    """What `torch.random.fork_rng` is to keep besides the CPU's generator."""
    return [torch.cuda.current_device()] if device == "cuda" else []


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is used up; on the CPU, PyTorch has no class of its own for it."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "not enough memory" in str(error) or "can't allocate memory" in str(error)
