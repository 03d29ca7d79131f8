"""SGD as the method uses it, and its learning-rate schedule."""

import math
from typing import Any

import torch
from torch import nn

from evospace.training.recipe import Recipe

MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
"""Of the authors' ImageNet runs; none on BatchNorm and biases."""


def sgd(
    module: nn.Module, *, lr: float, momentum: float = MOMENTUM, weight_decay: float = WEIGHT_DECAY
) -> torch.optim.SGD:
    """Nesterov SGD (fused) over `module`; parameters with one dimension are not decayed."""
    groups = _decayed(module, weight_decay)
    optimiser = torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    for parameter in module.parameters():
        # The fused step takes only parameters that all have a buffer; zeros start it as a missing one would.
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def started(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over `module`, whose state exists before the first step, so that it can be stored."""
    if recipe.opt == "sgd":
        return sgd(module, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    optimiser = torch.optim.AdamW(_decayed(module, recipe.weight_decay), lr=recipe.lr, fused=True)
    for parameter in module.parameters():
        zeros = torch.zeros_like(parameter)
        step = torch.zeros((), device=parameter.device)
        optimiser.state[parameter] = {"step": step, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    return optimiser


def _decayed(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in module.parameters() if p.ndim > 1]
    plain = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def started_adam(parameter: nn.Parameter, *, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam over one parameter whose state exists before the first step, so that it can be stored at any time."""
    optimiser = torch.optim.Adam([parameter], lr=lr, betas=betas)
    zeros = torch.zeros_like(parameter)
    optimiser.state[parameter] = {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    return optimiser


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def parameters_of(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The parameters of a started optimiser, in their module's order. A walk over a large supernet takes longer."""
    return [parameter for parameter in optimiser.state if isinstance(parameter, nn.Parameter)]


def forget(optimiser: torch.optim.Optimizer, gone: list[nn.Parameter]) -> None:
    """Take parameters and their state out of an optimiser."""
    ids = {id(p) for p in gone}
    for group in optimiser.param_groups:
        group["params"] = [p for p in group["params"] if id(p) not in ids]
    for parameter in gone:
        optimiser.state.pop(parameter, None)


def warmup_cosine(step: int, *, steps: int, warmup: int, peak: float) -> float:
    """Learning rate of one step: linear from peak / 4 over `warmup` steps, then cosine to 0.

    The authors go from 0.1 to 0.4 over 2 of 100 epochs.
    """
    if step < warmup:
        return peak * (0.25 + 0.75 * step / warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
