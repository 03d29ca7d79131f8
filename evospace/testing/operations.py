"""The conformity suite for operations: what every operation of a search must do."""

import torch
from torch import Tensor, nn

from evospace.cost.count import count_module, shortcoming
from evospace.ops.build import build_op
from evospace.ops.spec import BlockShape, OpSpec

CHANNELS = ((16, 16), (16, 24))
STRIDES = (1, 2)
RESOLUTIONS = (7, 8)
BATCH = 4


def check_operation(spec: OpSpec, activation: str = "relu") -> None:
    """Raise `AssertionError`, saying what is wrong, unless the operation keeps the choice block's contract.

    Run it on every operation of your own, e.g. with pytest::

        from evospace.ops.kinds import KINDS
        from evospace.testing import check_operation
        import my_ops  # decorates `plain` with @evospace.operation(...)

        @pytest.mark.parametrize("spec", KINDS["plain"].specs, ids=lambda spec: spec.name)
        def test_my_operation(spec):
            check_operation(spec)

    Checked, at strides 1 and 2, with and without a change of channels, at odd and even resolutions: the
    output's shape; that gradient reaches every parameter and the input; that BatchNorm keeps statistics;
    that the input, which other operations share, is left as it was; that it builds on the `meta` device
    and its MACs are counted (zero only where there are no parameters); and, once, that two builds share
    nothing and that the name says it all.
    """
    _check_name(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for shape in _shapes(activation):
            _check_pass(spec, shape)
            if shape.resolution == RESOLUTIONS[0]:  # counting is most of the time, and the same at the others
                _check_meta(spec, shape)
        _check_separate(spec, shape)


def _shapes(activation: str) -> list[BlockShape]:
    return [
        BlockShape(in_channels=c, out_channels=d, stride=s, resolution=r, activation=activation)
        for c, d in CHANNELS
        for s in STRIDES
        for r in RESOLUTIONS
    ]


def _where(spec: OpSpec, shape: BlockShape) -> str:
    size = shape.resolution
    return f"{spec.name} ({shape.in_channels} -> {shape.out_channels}, stride {shape.stride}, {size}x{size})"


def _check_name(spec: OpSpec) -> None:
    assert OpSpec.parse(spec.name) == spec, f"{spec.name}: the name does not give back {spec}"
    assert OpSpec.from_json(spec.to_json()) == spec, f"{spec.name}: its description does not give back {spec}"


def _check_pass(spec: OpSpec, shape: BlockShape) -> None:
    """One forward and backward pass in train mode."""
    where = _where(spec, shape)
    module = build_op(spec, shape).train()
    text = shortcoming(module)
    assert not text, f"{where}: {text}"
    images = torch.randn(BATCH, shape.in_channels, shape.resolution, shape.resolution, requires_grad=True)
    given = images.clone()  # in-place changes of a leaf are an error of PyTorch; those of `given` can be told
    before = given.detach().clone()
    output = module(given)
    wanted = (BATCH, shape.out_channels, shape.out_resolution, shape.out_resolution)
    assert isinstance(output, Tensor), f"{where}: returns a {type(output).__name__}, not a tensor"
    assert tuple(output.shape) == wanted, f"{where}: the output's shape is {tuple(output.shape)}, not {wanted}"
    assert torch.equal(given, before), f"{where}: changes its input in place, which other operations share"
    assert bool(output.isfinite().all()), f"{where}: the output is not finite"
    torch.autograd.backward((output * torch.randn_like(output)).sum())
    _check_gradients(module, images, where)


def _check_gradients(module: nn.Module, images: Tensor, where: str) -> None:
    assert images.grad is not None, f"{where}: no gradient reaches the input"
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{where}: no gradient reaches parameter {name}"
        assert bool(parameter.grad.isfinite().all()), f"{where}: the gradient of {name} is not finite"


def _check_meta(spec: OpSpec, shape: BlockShape) -> None:
    where = _where(spec, shape)
    with torch.device("meta"):
        module = build_op(spec, shape)
    elsewhere = [name for name, tensor in module.state_dict().items() if not tensor.is_meta]
    assert not elsewhere, f"{where}: under torch.device('meta') these are made elsewhere: {', '.join(elsewhere)}"
    counted = count_module(module, (1, shape.in_channels, shape.resolution, shape.resolution))
    assert counted["macs"] > 0 or counted["params"] == 0, f"{where}: has parameters, but no MACs are counted"


def _check_separate(spec: OpSpec, shape: BlockShape) -> None:
    """Two builds have the same state, each its own."""
    where = _where(spec, shape)
    first, second = build_op(spec, shape), build_op(spec, shape)
    assert list(first.state_dict()) == list(second.state_dict()), f"{where}: two builds differ in their state's keys"
    assert not _storages(first) & _storages(second), f"{where}: two builds share a parameter or buffer"


def _storages(module: nn.Module) -> set[int]:
    tensors = [*module.parameters(), *module.buffers()]
    return {t.untyped_storage().data_ptr() for t in tensors if t.numel()}
