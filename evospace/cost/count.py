"""MACs and parameters of one module, counted by PyTorch on the `meta` device (no arithmetic is done)."""

from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evospace.ops.build import build_op
from evospace.ops.spec import BlockShape, OpSpec

METRICS = ("macs", "params")
"""`macs`: multiply-adds of convolutions and linear layers for one image; `params`: trainable parameters."""


def count_module(module: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """The costs of `module` (on `meta`) for one input of `shape`, e.g. ``(1, 3, 224, 224)``.

    FLOPs are counted by `torch.utils.flop_counter`, where one multiply-add is two FLOPs.
    """
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(shape, device="meta"))
    params = sum(p.numel() for p in module.parameters())
    return {"macs": counter.get_total_flops() // 2, "params": params}


@cache
def _count_op(spec: OpSpec, shape: BlockShape) -> dict[str, int]:
    with torch.device("meta"):
        module = build_op(spec, shape)
    return count_module(module, (1, shape.in_channels, shape.resolution, shape.resolution))


def count_op(spec: OpSpec, shape: BlockShape) -> dict[str, int]:
    """The costs of one operation at one block shape; counted once per distinct pair."""
    return dict(_count_op(spec, shape))
