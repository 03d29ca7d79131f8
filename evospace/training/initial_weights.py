"""What a round's supernet begins with: weights drawn anew, or those of the round before where they fit.

The operations of a block take turns: the layers after it see one operation's output in one step and another's in the
next. Where each has drawn its weights by itself these outputs have nothing to do with one another, and a short round
ends before the layers after them can be of use to all. `align` and `soften` let the operations begin alike
(`--initial-weights aligned`); what that is worth is in docs/results/study-history.md.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from evospace.ops.layers import Concat, Split
from evospace.ops.modern.reparam import RepConv
from evospace.ops.spec import OpSpec
from evospace.seeding import derive
from evospace.supernet.network import deviation, drawn, layers_parameters
from evospace.supernet.supernet import SuperNet
from evospace.training.depthwise import fast_depthwise

LAST_GAMMA = 0.1
"""Scale of an operation's last BatchNorm at the start, where its block keeps shape: the block is close to the identity
then, whichever operation is in use. 0 is usual in residual networks (Goyal et al., 2017) and would leave an operation
without gradient in its first step here; 0.03 and 0.3 did a little worse on held-out images than 0.1."""


def initialised_supernet(
    make: Callable[[], SuperNet], seed: int, round: int, device: str, *, aligned: bool = True
) -> SuperNet:
    """A supernet with weights fixed by (seed, round), channels_last, on `device`.

    `aligned`: operations of one kind begin alike, and blocks that keep shape close to the identity; else every weight
    is drawn by itself, as in the paper.
    """
    generator = torch.Generator().manual_seed(derive(seed, "weights", round))
    supernet = drawn(make, generator)
    if aligned:
        align(supernet, generator)
        soften(supernet)
    fast_depthwise(supernet)
    moved: SuperNet = supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def align(supernet: SuperNet, generator: torch.Generator) -> None:
    """Redraw the operations' filters in place: those of one family in one block are parts of one draw.

    A filter takes the leading channels and the middle of the largest of its family, times its own deviation (He et
    al.), so that two operations that differ in expansion or kernel have the same function as far as they reach.
    """
    with torch.no_grad():
        for names, operations in _operations(supernet):
            for family in _families(names):
                _draw_together([operations[name] for name in family], generator)


def _draw_together(operations: Sequence[nn.Module], generator: torch.Generator) -> None:
    alike: dict[tuple[str, int], list[nn.Parameter]] = defaultdict(list)
    for operation in operations:
        ours = layers_parameters(operation)
        for key, parameter in operation.named_parameters():
            if parameter.ndim >= 2 and id(parameter) in ours:
                alike[key, parameter.ndim].append(parameter)
    for _, parameters in sorted(alike.items()):
        largest = [max(sizes) for sizes in zip(*(p.shape for p in parameters), strict=True)]
        draw = torch.randn(largest, generator=generator)
        for parameter in parameters:
            parameter.copy_(draw[window(largest, parameter.shape)] * deviation(parameter))


def soften(supernet: SuperNet) -> None:
    """Let every operation that ends in BatchNorms begin with `LAST_GAMMA` there, where its block keeps shape."""
    for block in supernet.blocks:
        if not block.keeps_shape:
            continue
        for operation in block.ops.values():  # type: ignore[operator]
            for norm in last_norms(operation)[0]:
                nn.init.constant_(norm.weight, LAST_GAMMA)


def last_norms(module: nn.Module) -> tuple[list[nn.BatchNorm2d], bool]:
    """The BatchNorms that scale what `module` gives, and whether a part of its input passes beside them.

    Of layers in a row the last has them, and those before it as far as inputs pass; of branches each. A module of
    another make has one where it is the last of its parts that have parameters.
    """
    if isinstance(module, nn.BatchNorm2d):
        return [module] if module.affine else [], False
    if isinstance(module, nn.Sequential):
        found: list[nn.BatchNorm2d] = []
        for layer in reversed(module):
            norms, passes = last_norms(layer)
            found += norms
            if not passes:
                return found, False
        return found, True
    if isinstance(module, Split | Concat):
        branches = [last_norms(branch) for branch in module.branches]
        return [norm for norms, _ in branches for norm in norms], any(passes for _, passes in branches)
    if isinstance(module, RepConv):
        return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)], False
    with_weights = [m for m in module.modules() if list(m.parameters(recurse=False))]
    return [m for m in with_weights[-1:] if isinstance(m, nn.BatchNorm2d)], not with_weights


def inherit_weights(supernet: SuperNet, previous: Mapping[str, Tensor], *, aligned: bool = True) -> int:
    """Copy the weights of everything that stays from an earlier supernet's state; returns how many tensors.

    `aligned`: an operation that is new to its block first takes over what it can of the nearest one of its family
    that the earlier supernet had there.
    """
    if aligned:
        take_over(supernet, previous)
    own = supernet.state_dict()
    kept = {key: value for key, value in previous.items() if key in own and own[key].shape == value.shape}
    supernet.load_state_dict(own | kept)
    return len(kept)


def take_over(supernet: SuperNet, previous: Mapping[str, Tensor]) -> None:
    """Give operations that `previous` lacks the weights of the nearest there, as far as those reach, in place."""
    with torch.no_grad():
        for block, (names, operations) in enumerate(_operations(supernet)):
            old = _stored(previous, block)
            for name in names:
                model = None if name in old else nearest(name, tuple(old))
                if model:
                    _copy_overlap(operations[name], previous, f"blocks.{block}.ops.{model}.")


def _copy_overlap(operation: nn.Module, previous: Mapping[str, Tensor], prefix: str) -> None:
    for key, parameter in operation.named_parameters():
        model = previous.get(prefix + key)
        if model is None or model.ndim != parameter.ndim:
            continue
        common = [min(sizes) for sizes in zip(parameter.shape, model.shape, strict=True)]
        parameter[window(parameter.shape, common)] = model[window(model.shape, common)].to(parameter.device)


def window(outer: Sequence[int], inner: Sequence[int]) -> tuple[slice, ...]:
    """Where a filter of shape `inner` lies in one of shape `outer`: its leading channels, the middle of its pixels.

    The first two dimensions are channels (out, in / groups).
    """
    starts = [0 if axis < 2 else (o - i) // 2 for axis, (o, i) in enumerate(zip(outer, inner, strict=True))]
    return tuple(slice(start, start + size) for start, size in zip(starts, inner, strict=True))


def nearest(name: str, others: Sequence[str]) -> str | None:
    """The one of `others` in the family of `name` that differs least from it, or `None` where there is none.

    Differences of expansion count once, those of the filter's reach, (kernel - 1) * dilation, half; of equals
    itself, else the first by name.
    """
    spec = OpSpec.parse(name)
    family = [other for other in sorted(others) if _family(other) == _family(name)]
    return min(family, key=lambda other: (_distance(spec, OpSpec.parse(other)), other != name), default=None)


def _distance(a: OpSpec, b: OpSpec) -> float:
    return abs((a.expansion or 1) - (b.expansion or 1)) + abs(_reach(a) - _reach(b)) / 2


def _reach(spec: OpSpec) -> int:
    return ((spec.kernel or 1) - 1) * spec.dilation


def _family(name: str) -> tuple[str, tuple[int, int], bool]:
    """Operations whose layers correspond: those of one kind, with the same groups and gate."""
    spec = OpSpec.parse(name)
    return spec.kind, spec.groups, spec.se


def _families(names: Sequence[str]) -> list[list[str]]:
    found: dict[tuple[str, tuple[int, int], bool], list[str]] = defaultdict(list)
    for name in sorted(names):
        found[_family(name)].append(name)
    return list(found.values())


def _operations(supernet: SuperNet) -> list[tuple[list[str], dict[str, nn.Module]]]:
    """Per block the names of its operations, and their modules."""
    return [
        (names, dict(block.ops.items()))  # type: ignore[union-attr, operator]
        for names, block in zip(supernet.names(), supernet.blocks, strict=True)
    ]


def _stored(previous: Mapping[str, Tensor], block: int) -> set[str]:
    """The operations of a block in a supernet's state (those without weights are not in it)."""
    prefix = f"blocks.{block}.ops."
    return {key.removeprefix(prefix).split(".", 1)[0] for key in previous if key.startswith(prefix)}
