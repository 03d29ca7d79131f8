"""The device that is computed on."""

import os

import torch

from evospace.errors import UsageError


def device_of(name: str) -> str:
    """`cpu` or `cuda` for `auto`, `cpu` or `cuda`; raises `UsageError` for one that is not there.

    Where it is `cuda`, the whole process computes with algorithms that repeat from here on (`repeatable`).
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {name}: allowed are auto, cpu and, where PyTorch finds a GPU, cuda")
    if name == "cuda":
        repeatable()
    return name


def repeatable() -> None:
    """Let CUDA compute the same bits for the same seed, where PyTorch can; it warns of an operation that it cannot.

    Without this, gradients are summed in an order that changes: two searches of one seed part in their first epoch.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before it is written, so it need not be filled.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def rng_devices(device: str) -> list[int]:
    """What `torch.random.fork_rng` is to keep besides the CPU's generator."""
    return [torch.cuda.current_device()] if device == "cuda" else []


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is used up; on the CPU, PyTorch has no class of its own for it."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "not enough memory" in str(error) or "can't allocate memory" in str(error)
