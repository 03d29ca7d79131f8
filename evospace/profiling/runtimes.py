"""Makes a module ready to run under one runtime, and says what machine this is."""

import io
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from evospace.cost.latency_setting import Setting
from evospace.errors import UsageError, reason
from evospace.ops.modern.reparam import has_branches, reparametrise

Run = Callable[[], object]
OPSET = 17


def require_runtime(setting: Setting) -> None:
    """Raise `UsageError` where this machine lacks the runtime or the device."""
    if setting.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if setting.runtime == "onnxruntime":
        providers = _onnxruntime().get_available_providers()
        if setting.device == "cuda" and "CUDAExecutionProvider" not in providers:
            raise UsageError("--device cuda: this onnxruntime has no CUDA provider; install onnxruntime-gpu")
    cores = os.cpu_count() or 1
    if setting.threads > cores:
        raise UsageError(f"--threads {setting.threads} is more than this machine has ({cores} cores); give fewer")


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401  PyTorch's exporter needs it
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"--runtime onnxruntime needs {error.name}: pip install onnx onnxscript onnxruntime (or use"
            " --runtime torch)"
        ) from error
    return onnxruntime


def machine(setting: Setting) -> dict[str, str]:
    """Processor or GPU, system and versions: what a latency belongs to."""
    versions = {"torch": version("torch")}
    if setting.runtime == "onnxruntime":
        versions["onnxruntime"] = _onnxruntime().__version__
    gpu = {"gpu": torch.cuda.get_device_name()} if setting.device == "cuda" else {}
    return {"processor": processor(), "cores": str(os.cpu_count()), "system": platform.system(), **gpu, **versions}


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def differences(table_machine: dict[str, str]) -> list[str]:
    """Lines `what: there -> here` for what of a table's machine is not so here."""
    found = {"processor": processor(), "system": platform.system()}
    if "gpu" in table_machine:
        found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    if "torch" in table_machine:
        found["torch"] = version("torch")
    if "onnxruntime" in table_machine:
        found["onnxruntime"] = _onnxruntime_version()
    there = {key: table_machine.get(key, "unknown") for key in found}
    return [f"{key}: {there[key]} -> {here}" for key, here in found.items() if there[key] != here]


def _onnxruntime_version() -> str:
    try:
        return str(_onnxruntime().__version__)
    except UsageError:
        return "absent"


@contextmanager
def threads_of(setting: Setting) -> Iterator[None]:
    """PyTorch's own number of threads, for as long as it lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(setting.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(module: nn.Module, shape: tuple[int, int, int], setting: Setting) -> Run:
    """A call that runs `module`, as it is shipped, once on a batch of images ``C x H x W``, and waits for the result.

    `shape` is that of an image; branches that become one convolution are merged.
    """
    images = torch.rand(setting.batch, *shape)
    _settle(module, shape)
    module = reparametrise(module) if has_branches(module) else module
    if setting.runtime == "onnxruntime":
        return _onnx_run(module, images, setting)
    module = module.to(setting.device).to(memory_format=torch.channels_last)
    images = images.to(setting.device).to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            module(images)
        if setting.device == "cuda":
            torch.cuda.synchronize()

    return run


def _settle(module: nn.Module, shape: tuple[int, int, int]) -> None:
    """BatchNorm statistics of one random batch: without them deep networks end in numbers near 0, which are slow."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module.train()(torch.rand(2, *shape))
    module.eval()


def _onnx_run(module: nn.Module, images: torch.Tensor, setting: Setting) -> Run:
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.log_severity_level = 3
    provider = "CUDAExecutionProvider" if setting.device == "cuda" else "CPUExecutionProvider"
    session = runtime.InferenceSession(_onnx_bytes(module, images), options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise UsageError(f"onnxruntime cannot run on {setting.device} here: its {provider} does not start")
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)


def _onnx_bytes(module: nn.Module, images: torch.Tensor) -> bytes:
    """The module as ONNX, by PyTorch's older exporter.

    For a network of 119 convolutions it takes 1 s where the newer one takes 9 s, and onnxruntime runs what both write
    equally fast (56.4 and 57.2 ms, medians of four).
    """
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (images,), cast(Any, buffer), dynamo=False, opset_version=OPSET)
    except (RuntimeError, ValueError, TypeError) as error:  # what the exporter raises where it has no rule
        raise UsageError(f"cannot be exported to ONNX ({reason(error):.160})") from error
    return buffer.getvalue()
