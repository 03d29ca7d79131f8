import os
from collections.abc import Iterator

import pytest
import torch

from evospace.devices import device_of, memory_errors
from evospace.errors import UsageError


@pytest.fixture
def flags_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `repeatable` sets for the whole process, put back."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_computes_with_algorithms_that_repeat(
    name: str, monkeypatch: pytest.MonkeyPatch, flags_restored: None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(name) == "cuda"
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_cpu_needs_nothing_set(monkeypatch: pytest.MonkeyPatch, flags_restored: None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == "cpu"
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", ""])
def test_a_device_that_is_not_there_is_told_with_what_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="allowed are auto, cpu"):
        device_of(name)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 10 bytes"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_is_used_up_is_told_in_a_line(error: Exception) -> None:
    with (
        pytest.raises(UsageError, match=r"^out of memory in round 1; give a smaller one$"),
        memory_errors("in round 1", "give a smaller one"),
    ):
        raise error


def test_other_errors_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), memory_errors("in round 1", "give a smaller one"):
        raise RuntimeError("shapes differ")
