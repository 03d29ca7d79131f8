"""MACs and parameters of one module as it is shipped, counted by PyTorch on `meta`, where no arithmetic is done."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from evospace.errors import UsageError, reason
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS, OperationKind
from evospace.ops.modern.reparam import has_branches, reparametrise
from evospace.ops.spec import BlockShape, OpSpec

METRICS = ("macs", "params")
"""`macs`: multiply-adds of convolutions, linear layers and matrix products (those of attention) for one image, as
PyTorch's counter knows them: what is multiplied element by element is not among them; `params`: parameters.

Both of what is shipped: where branches train beside one another and become one convolution, of that one.
"""


def count_module(module: nn.Module, shape: tuple[int, ...], device: str = "meta") -> dict[str, int]:
    """The costs of `module`, which lies on `device`, for one input of `shape`, e.g. ``(1, 3, 224, 224)``.

    FLOPs are counted by `torch.utils.flop_counter`, where one multiply-add is two FLOPs.
    """
    module = reparametrise(module) if has_branches(module) else module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(shape, device=device))
    params = sum(p.numel() for p in module.parameters())
    return {"macs": counter.get_total_flops() // 2, "params": params}


@cache
def _count_op(kind: OperationKind, spec: OpSpec, shape: BlockShape) -> dict[str, int]:
    images = (1, shape.in_channels, shape.resolution, shape.resolution)
    if kind.source_sha256:
        _require_contract(spec, shape, images)
    with torch.device("meta"):
        module = build_op(spec, shape)
    return count_module(module, images)


def _require_contract(spec: OpSpec, shape: BlockShape, images: tuple[int, ...]) -> None:
    """Raise `UsageError`, naming the operation and the block, where a user's own does not do what `BlockShape` says.

    It has to give the right shape where it is counted, on `meta`, and in training, on two images of zeros, and to be
    made of what a search can train and test (`shortcoming`).
    """
    wanted = (shape.out_channels, shape.out_resolution, shape.out_resolution)
    where = f"operation {spec.name}, of a file of --ops, for {images} -> {(1, *wanted)} at stride {shape.stride}"
    for device, batch, training in (("meta", 1, False), ("cpu", 2, True)):
        when = f"{where}, in training" if training else where
        try:
            with torch.device(device), torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training):
                module = build_op(spec, shape)
                if not isinstance(module, nn.Module):
                    raise UsageError(f"{where}: returns {module!r:.80}; return a torch.nn.Module")
                if text := shortcoming(module):
                    raise UsageError(f"{where}: {text}")
                zeros = torch.zeros((batch, *images[1:]))
                found = module.train(training)(zeros)
                if zeros._version:  # PyTorch counts the changes of a tensor in place
                    raise UsageError(f"{when}: changes its input in place, which other operations share")
                if isinstance(found, Tensor) and found.requires_grad:
                    torch.autograd.backward(found.sum())
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{when}: {type(error).__name__}: {reason(error):.200}") from error
        if not isinstance(found, Tensor) or tuple(found.shape) != (batch, *wanted):
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(f"{when}: gives {given}; use shape.in_channels, shape.out_channels and shape.stride")


def shortcoming(module: nn.Module) -> str:
    """Why a search cannot hold `module` as an operation, whatever it computes; empty where nothing speaks against it.

    All parameters are drawn anew and trained, and a network is tested image by image.
    """
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            return f"parameter {name} is not trainable; register what is fixed as a buffer"
    for name, norm in module.named_modules():
        if isinstance(norm, _BatchNorm) and norm.running_mean is None:
            return f"{name or 'BatchNorm'} keeps no running statistics, so that a test depends on the batch; track them"
    return ""


def count_op(spec: OpSpec, shape: BlockShape) -> dict[str, int]:
    """The costs of one operation at one block shape; counted once per distinct pair."""
    return dict(_count_op(KINDS[spec.kind], spec, shape))
