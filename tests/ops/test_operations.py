import pytest
import torch
from torch import Tensor, nn

from evospace.errors import UsageError
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS, gated, operation
from evospace.ops.layers import SqueezeExcite, activation
from evospace.ops.pools import POOLS
from evospace.ops.spec import BlockShape, OpSpec
from evospace.testing import check_operation

SHAPE = BlockShape(in_channels=16, out_channels=24, stride=2, resolution=8)
SHIPPED = tuple(dict.fromkeys(spec for pool in POOLS.values() for spec in pool))
EVERY = tuple(dict.fromkeys([*SHIPPED, *map(gated, SHIPPED)]))
ONE_OF_A_FORM = tuple({(spec.kind, spec.se, spec.expansion == 1): spec for spec in EVERY}.values())
"""With and without squeeze-excite and expansion, where a kind has them."""


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.name)
def test_every_shipped_operation_keeps_the_contract(spec: OpSpec) -> None:
    check_operation(spec, "relu")


@pytest.mark.parametrize("spec", ONE_OF_A_FORM, ids=lambda spec: spec.name)
def test_every_form_keeps_the_contract_with_the_other_activation(spec: OpSpec) -> None:
    check_operation(spec, "swish")


def convolutions(name: str) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...], int]]:
    modules = build_op(OpSpec.parse(name), SHAPE).modules()
    return [
        (m.in_channels, m.out_channels, m.kernel_size, m.stride, m.groups) for m in modules if isinstance(m, nn.Conv2d)
    ]


def test_mbconv_is_expand_depthwise_project() -> None:
    assert convolutions("mbconv_k5_e3_g1x2") == [
        (16, 48, (1, 1), (1, 1), 1),
        (48, 48, (5, 5), (2, 2), 48),
        (48, 24, (1, 1), (1, 1), 2),
    ]


def test_factorized_strides_width_then_height() -> None:
    assert convolutions("factorized_k7_e2")[1:3] == [
        (32, 32, (1, 7), (1, 2), 1),
        (32, 32, (7, 1), (2, 1), 1),
    ]


def test_dualconv_strides_on_its_second_dense_convolution() -> None:
    assert [stride for _, _, _, stride, _ in convolutions("dualconv_k3_e1")] == [
        (1, 1),
        (1, 1),
        (2, 2),
        (1, 1),
    ]


def test_the_last_convolution_has_no_activation() -> None:
    network = build_op(OpSpec.parse("conv_k3_e1"), SHAPE)
    assert isinstance(list(network.modules())[-1], nn.BatchNorm2d)


def test_squeeze_excite_scales_channels() -> None:
    images = torch.ones(2, 8, 3, 3)
    output = SqueezeExcite(8, "relu")(images)
    assert output.shape == images.shape
    assert bool(((output > 0) & (output < 1)).all())
    assert torch.equal(output, output[..., :1, :1].expand_as(output))


@pytest.mark.parametrize(
    "name", ["mbconv_k4_e1", "mbconv_k3", "mbconv_k3_e1_g3x1", "conv_k3_e1_d2", "nothing_k3", "factorized"]
)
def test_what_cannot_be_built_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        build_op(OpSpec.parse(name), SHAPE)


def test_an_unknown_activation_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="relu"):
        activation("reluu")


class Wrong(nn.Module):
    """A convolution with one fault."""

    shared = nn.Conv2d(16, 16, 3, padding=1)

    def __init__(self, shape: BlockShape, fault: str) -> None:
        super().__init__()
        self.fault = fault
        stride = 1 if fault == "shape" else shape.stride
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride, padding=1)
        self.idle = nn.Parameter(torch.ones(1)) if fault == "gradient" else None
        if fault == "elsewhere":
            self.register_buffer("table", torch.ones(2, device="cpu"))
        if fault == "shared":
            self.common = self.shared

    def forward(self, images: Tensor) -> Tensor:
        images = images.relu_() if self.fault == "in place" else images
        extra = self.common.weight.mean() if self.fault == "shared" else 0.0
        result: Tensor = self.conv(images.detach() if self.fault == "input" else images) + extra
        return result


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("shape", "shape"),
        ("gradient", "no gradient reaches parameter idle"),
        ("input", "no gradient reaches the input"),
        ("in place", "changes its input"),
        ("elsewhere", "table"),
        ("shared", "meta|share"),
    ],
)
def test_the_suite_finds_each_fault(fault: str, text: str) -> None:
    kind = f"wrong_{fault.replace(' ', '_')}"
    operation(name=kind)(lambda _, shape: Wrong(shape, fault))
    try:
        with pytest.raises(AssertionError, match=text):
            check_operation(OpSpec(kind=kind))
    finally:
        KINDS.remove(kind)


def test_a_kind_says_whether_it_honours_squeeze_excite() -> None:
    def build(_: OpSpec, shape: BlockShape) -> nn.Module:
        return nn.Conv2d(shape.in_channels, shape.out_channels, 1, shape.stride)

    operation(name="silent")(build)
    operation(name="honours", se=True)(build)
    try:
        assert [gated(OpSpec(kind=kind)).name for kind in ("silent", "honours")] == ["silent", "honours_se"]
        build_op(OpSpec.parse("honours_se"), SHAPE)
        with pytest.raises(UsageError, match=r"silent_se.*se=True"):
            build_op(OpSpec.parse("silent_se"), SHAPE)
    finally:
        KINDS.remove("silent")
        KINDS.remove("honours")


@pytest.mark.parametrize("kind", dict.fromkeys(spec.kind for spec in SHIPPED))
def test_squeeze_excite_adds_parameters_exactly_where_it_is_declared(kind: str) -> None:
    plain = KINDS[kind].specs[-1]
    counts = [sum(p.numel() for p in build_op(spec, SHAPE).parameters()) for spec in (plain, gated(plain))]
    assert (counts[0] < counts[1]) == KINDS[kind].se


def test_the_suite_finds_shared_state() -> None:
    shared = nn.BatchNorm2d(64)
    meta = nn.BatchNorm2d(64, device="meta")

    def build(_: OpSpec, shape: BlockShape) -> nn.Module:
        norm = meta if torch.empty(0).is_meta else shared
        project = nn.Conv2d(64, shape.out_channels, 1)
        return nn.Sequential(nn.Conv2d(shape.in_channels, 64, 3, shape.stride, padding=1), norm, project)

    operation(name="sharing")(build)
    try:
        with pytest.raises(AssertionError, match="share a parameter or buffer"):
            check_operation(OpSpec(kind="sharing"))
    finally:
        KINDS.remove("sharing")
