"""The device that is computed on."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
    """Whether an error says that memory is used up; on the CPU, PyTorch has no class of its own for it.

    Nor have CUDA's libraries (cuBLAS, cuDNN), and CUDA itself where it is not PyTorch that asks it for memory.
    """
    texts = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(text in str(error) for text in texts)


@contextmanager
def memory_errors(where: str, advice: str) -> Iterator[None]:
    """Memory that is used up becomes a `UsageError` of one line: out of memory `where`; `advice`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UsageError(f"out of memory {where}; {advice}") from error


def peak_bytes() -> int:
    """The most memory that this process has held at a time so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
