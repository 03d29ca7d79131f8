"""`--to onnx`: one file for any ONNX runtime, compared with PyTorch at several batch sizes."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evospace.deploy.prepare import Difference, checked, logits_of, probe_images
from evospace.deploy.subject import Shipped
from evospace.errors import UsageError, reason
from evospace.runs.files import write_bytes

BATCHES = (1, 2, 7)


def require_onnx() -> None:
    """Raise `UsageError` where a package is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  PyTorch's exporter needs it
    except ImportError as error:
        raise UsageError(f"--to onnx needs {error.name}: pip install onnx onnxscript onnxruntime") from error


def write_onnx(folder: Path, shipped: Shipped, images: Tensor, wanted: Tensor) -> dict[str, Difference]:
    """Write `model.onnx`, and compare it in onnxruntime with the source network at batches of 1, 2 and 7.

    Raises `UsageError` where an operation has no ONNX form, where the file differs, or lacks a free batch size.
    """
    path = folder / "model.onnx"
    write_bytes(path, onnx_bytes(shipped, images))
    source = shipped.subject.network
    found: dict[str, Difference] = {}
    for batch in BATCHES:
        given = images if batch == len(images) else probe_images(images.shape[1:], batch)
        logits = wanted if batch == len(images) else logits_of(source, given)
        name = f"onnxruntime, batch {batch}"
        found[name] = checked(name, _run(path, given), logits)
    return found


def onnx_bytes(shipped: Shipped, images: Tensor) -> bytes:
    """The network as ONNX: input `images` with a free batch size, output `logits`, what to feed it as metadata."""
    import onnx

    model = _exported(shipped.network, images)
    described = shipped.subject.described
    onnx.helper.set_model_props(
        model,
        {
            "class_names": json.dumps(list(described.class_names)),
            "mean": json.dumps(list(described.mean)),
            "std": json.dumps(list(described.std)),
            "trained": json.dumps(shipped.subject.trained),
        },
    )
    onnx.checker.check_model(model)
    stored: bytes = model.SerializeToString()
    return stored


def _exported(network: nn.Module, images: Tensor) -> Any:
    batch = torch.export.Dim("batch")
    try:
        with _silence():
            program = torch.onnx.export(
                network.eval(),
                (images,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: batch},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None, "PyTorch's exporter gave nothing"
    except Exception as error:  # the exporter's own errors derive from several classes
        raise UsageError(f"cannot be exported to ONNX ({reason(error):.200})") from error
    return program.model_proto


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter prints, warns of and logs from the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _run(path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"images": images.numpy()})
    except Exception as error:  # onnxruntime's errors have no common class
        raise UsageError(
            f"onnxruntime does not run the ONNX file at a batch of {len(images)} ({reason(error):.160}); an operation"
            " that reads the batch size has to take it from images.shape[0], not len(images)"
        ) from error
    return torch.from_numpy(logits)
