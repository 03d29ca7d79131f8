"""`--to torch`: one Python file that needs PyTorch alone, and its weights."""

from pathlib import Path
from types import ModuleType

from safetensors.torch import load_file, save
from torch import Tensor, nn

from evospace.deploy.code.python_file import python_file
from evospace.deploy.prepare import Difference, checked, logits_of
from evospace.deploy.subject import Shipped, blocks_in_words
from evospace.errors import UsageError, reason
from evospace.runs.files import write_bytes, write_text


def write_torch(folder: Path, shipped: Shipped, images: Tensor, wanted: Tensor) -> dict[str, Difference]:
    """Write `network.py` and `model.safetensors`, load them again and compare.

    `wanted` are the logits of `images` that the source network gives. Raises `UsageError` that names an operation
    which has no source, and where the file does not do what the network does.
    """
    write_text(folder / "network.py", torch_source(shipped))
    write_bytes(folder / "model.safetensors", save(weights_of(shipped.network)))
    try:
        found = logits_of(load_written(folder), images)
    except Exception as error:  # a user's operation can fail in any way
        raise UsageError(
            f"the network cannot be written as PyTorch code: the file does not run ({reason(error):.160})"
        ) from error
    return {"the written file": checked("the written file", found, wanted)}


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The state dict on the CPU; tensors that are shared are written twice."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}


def torch_source(shipped: Shipped) -> str:
    """The text of `network.py`."""
    described = shipped.subject.described
    channels, height, width = described.input_shape
    title = f"""An image classifier, found by neural architecture search: {described.classes} classes.

Images ``N x {channels} x {height} x {width}`` to logits; config.json names the classes and what to normalise with.
{shipped.costs["macs"]:,} multiply-adds, {shipped.costs["params"]:,} parameters.
"""
    comments = {f"blocks.{i}": f"{i}: {line}" for i, line in enumerate(blocks_in_words(described))}
    return python_file(shipped.network, title, comments)


def load_written(folder: Path) -> nn.Module:
    """The network of `network.py` with the weights beside it, in a module of its own."""
    module = ModuleType("network")
    exec(compile((folder / "network.py").read_text(encoding="utf-8"), "network.py", "exec"), module.__dict__)
    network: nn.Module = module.__dict__["Network"]()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()
