"""Oracles for what is special about a family, worked out beside the code."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.errors import UsageError
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS
from evospace.ops.layers import EfficientChannelAttention, Split
from evospace.ops.modern.attention import PooledAttention
from evospace.ops.modern.channels import mixed_sizes
from evospace.ops.modern.involution import Involution
from evospace.ops.modern.large import GlobalResponseNorm, LargeKernelAttention, Star
from evospace.ops.modern.reparam import RepConv, reparametrise
from evospace.ops.spec import BlockShape, OpSpec
from evospace.training.depthwise import fast_depthwise

SAME = BlockShape(in_channels=16, out_channels=16, stride=1, resolution=7)
REDUCE = BlockShape(in_channels=16, out_channels=24, stride=2, resolution=7)
SHAPES = (SAME, REDUCE, BlockShape(in_channels=16, out_channels=16, stride=2, resolution=8))
REPARAMETRISED = [spec for kind in ("repvgg", "mobileone", "replk") for spec in KINDS[kind].specs]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def convolutions(name: str, shape: BlockShape = REDUCE) -> list[tuple[int, int, int | str, int, int]]:
    """Per convolution: inputs, outputs, kernel, stride, groups."""
    found = [m for m in build_op(OpSpec.parse(name), shape).modules() if isinstance(m, nn.Conv2d)]
    return [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.groups) for m in found]


def with_statistics(module: nn.Module) -> nn.Module:
    """Eval mode, with BatchNorm statistics and weights far from 0 and 1."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.3, 3.0)
            nn.init.uniform_(norm.weight, -1.5, 1.5)
            nn.init.normal_(norm.bias)
    return module.eval()


@pytest.mark.parametrize("shape", SHAPES, ids=["same", "reduce", "stride"])
@pytest.mark.parametrize("spec", REPARAMETRISED, ids=lambda spec: spec.name)
def test_the_merged_convolution_does_what_the_branches_do(spec: OpSpec, shape: BlockShape) -> None:
    branches = with_statistics(build_op(spec, shape))
    before = {key: tensor.clone() for key, tensor in branches.state_dict().items()}
    merged = reparametrise(branches)
    images = torch.randn(3, 16, shape.resolution, shape.resolution)
    assert not any(isinstance(m, RepConv) for m in merged.modules())
    assert torch.allclose(branches(images), merged(images), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(tensor, before[key]) for key, tensor in branches.state_dict().items())


def test_branches_that_were_trained_fast_become_convolutions_with_bias() -> None:
    """`fast_depthwise` leaves convolutions behind that know no bias while gradients are on."""
    for name in ("mobileone_k3", "replk_k9_e1"):
        branches = with_statistics(build_op(OpSpec.parse(name), SAME))
        fast_depthwise(branches)
        merged, images = reparametrise(branches), torch.randn(3, 16, 7, 7)
        with torch.enable_grad():
            assert torch.allclose(branches(images), merged(images), atol=1e-5, rtol=1e-5)


def test_repvgg_becomes_one_3x3_convolution_with_bias() -> None:
    merged = reparametrise(build_op(OpSpec.parse("repvgg_k3"), SAME))
    (conv,) = [m for m in merged.modules() if list(m.parameters(recurse=False))]
    assert isinstance(conv, nn.Conv2d)
    assert conv.kernel_size == (3, 3)
    assert conv.bias is not None
    assert not merged.training


def test_a_rep_conv_itself_and_what_holds_none_can_be_given() -> None:
    single = with_statistics(RepConv((8, 8), (3, 1), identity=True))
    images = torch.randn(2, 8, 5, 5)
    assert torch.allclose(reparametrise(single)(images), single(images), atol=1e-5)
    plain = nn.Conv2d(8, 8, 1)
    assert torch.equal(reparametrise(plain)(images), plain(images))


def test_repvgg_has_an_identity_branch_only_where_shape_is_kept() -> None:
    identities = []
    for shape in SHAPES:
        (rep,) = [m for m in build_op(OpSpec.parse("repvgg_k3"), shape).modules() if isinstance(m, RepConv)]
        identities.append(rep.identity is not None)
    assert identities == [True, False, False]


def test_half_of_the_channels_pass_a_shuffle_unit_that_keeps_shape() -> None:
    images = torch.randn(2, 16, 7, 7)
    for name in ("shufflev2_k3_e1", "shufflev2_xception_k3"):
        output = build_op(OpSpec.parse(name), SAME)(images)
        assert torch.equal(output[:, ::2], images[:, :8])
        assert not torch.equal(output[:, 1::2], images[:, 8:])
    assert convolutions("shufflev2_k5_e2", SAME) == [(8, 16, 1, 1, 1), (16, 16, 5, 1, 16), (16, 8, 1, 1, 1)]


def test_a_shuffle_unit_that_reduces_filters_both_branches() -> None:
    left = [(16, 16, 3, 2, 16), (16, 12, 1, 1, 1)]
    assert convolutions("shufflev2_k3_e1") == [*left, (16, 12, 1, 1, 1), (12, 12, 3, 2, 12), (12, 12, 1, 1, 1)]
    deep = [(16, 16, 3, 2, 16), (16, 12, 1, 1, 1), *[(12, 12, 3, 1, 12), (12, 12, 1, 1, 1)] * 2]
    assert convolutions("shufflev2_xception_k3") == [*left, *deep]


def test_eca_gates_each_channel_by_its_neighbours_means() -> None:
    layer = EfficientChannelAttention(8)
    images = torch.randn(2, 8, 3, 5)
    means = functional.pad(images.mean((2, 3)), [1, 1])
    weights = layer.conv.weight.flatten()
    for n in range(2):
        for c in range(8):
            gate = torch.sigmoid((means[n, c : c + 3] * weights).sum())
            assert torch.allclose(layer(images)[n, c], images[n, c] * gate, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 4), (3, 2, 5), (5, 2, 4), (5, 1, 2)])
def test_involution_equals_a_loop_over_pixels(kernel: int, stride: int, size: int) -> None:
    layer, images = Involution(16, kernel, stride, "relu").eval(), torch.randn(2, 16, size, size)
    weights, output = layer.weights(images), layer(images)
    out = -(-size // stride)
    wanted = torch.zeros(2, 16, out, out)
    for c in range(16):
        for y in range(out):
            for x in range(out):
                for row in range(kernel):
                    for column in range(kernel):
                        v, u = y * stride + row - kernel // 2, x * stride + column - kernel // 2
                        if 0 <= v < size and 0 <= u < size:
                            weight = weights[:, (c // 8) * kernel**2 + row * kernel + column, y, x]
                            wanted[:, c, y, x] += weight * images[:, c, v, u]
    assert torch.allclose(output, wanted, atol=1e-5)


def test_a_kernel_that_would_take_hours_is_refused() -> None:
    with pytest.raises(UsageError, match="a kernel is at most 63"):
        build_op(OpSpec.parse("involution_k9999_e1"), SAME)


@pytest.mark.parametrize("kernel", [3, 5])
def test_what_involution_gives_is_normalised_and_activated(kernel: int) -> None:
    parts = list(build_op(OpSpec.parse(f"involution_k{kernel}_e1"), SAME).children())
    assert [type(part) for part in parts[1:4]] == [Involution, nn.BatchNorm2d, nn.ReLU]


def split_of(name: str) -> Split:
    (split,) = [m for m in build_op(OpSpec.parse(name), SAME).modules() if isinstance(m, Split)]
    return split


def test_partial_convolution_leaves_three_quarters_untouched() -> None:
    images = torch.randn(2, 16, 7, 7)
    output = split_of("fasternet_k3_e2")(images)
    assert torch.equal(output[:, 4:], images[:, 4:])
    assert not torch.equal(output[:, :4], images[:, :4])
    assert convolutions("fasternet_k3_e2") == [(4, 4, 3, 1, 1), (16, 32, 1, 1, 1), (32, 24, 1, 1, 1)]


@pytest.mark.parametrize(
    ("channels", "parts", "sizes"), [(16, 2, [8, 8]), (16, 3, [6, 5, 5]), (24, 5, [8, 4, 4, 4, 4]), (8, 4, [2] * 4)]
)
def test_mixed_parts_are_equal_and_the_first_takes_the_rest(channels: int, parts: int, sizes: list[int]) -> None:
    assert mixed_sizes(channels, parts) == sizes


def test_inception_depthwise_passes_five_eighths() -> None:
    images = torch.randn(2, 16, 7, 7)
    split = split_of("inceptionnext_k11_e2")
    assert torch.equal(split(images)[:, :10], images[:, :10])
    kernels = [m.kernel_size for m in split.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [(3, 3), (1, 11), (11, 1)]
    assert not [m for m in split.modules() if isinstance(m, nn.BatchNorm2d)]  # one over all channels comes after


@pytest.mark.parametrize(("name", "channels"), [("replk_k3_e1", 16), ("mixconv_k1_e1", 16), ("fasternet_k3_e1", 3)])
def test_settings_that_make_no_such_block_are_refused(name: str, channels: int) -> None:
    with pytest.raises(UsageError, match="at least"):
        build_op(OpSpec.parse(name), replace(SAME, in_channels=channels))


GHOST = [(16, 16, 1, 1, 1), (16, 16, 3, 1, 16), (32, 32, 3, 2, 32), (32, 12, 1, 1, 1), (12, 12, 3, 1, 12)]
MIXED = [(16, 16, 1, 1, 1), (6, 6, 3, 2, 6), (5, 5, 5, 2, 5), (5, 5, 7, 2, 5), (16, 24, 1, 1, 1)]


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("uib_extra_k5_e3", [(16, 16, 5, 1, 16), (16, 48, 1, 1, 1), (48, 48, 5, 2, 48), (48, 24, 1, 1, 1)]),
        ("uib_convnext_k5_e3", [(16, 16, 5, 2, 16), (16, 48, 1, 1, 1), (48, 24, 1, 1, 1)]),
        ("uib_ffn_e3", [(16, 48, 1, 1, 1), (48, 24, 1, 1, 1)]),
        ("mbconv_eca_k3_e3", [(16, 48, 1, 1, 1), (48, 48, 3, 2, 48), (48, 24, 1, 1, 1)]),
        ("fused_mbconv_k3_e2", [(16, 32, 3, 2, 1), (32, 24, 1, 1, 1)]),
        ("sandglass_k3_e2", [(16, 16, 3, 1, 16), (16, 8, 1, 1, 1), (8, 24, 1, 1, 1), (24, 24, 3, 2, 24)]),
        ("sepconv_k3", [(16, 16, 3, 2, 16), (16, 16, 1, 1, 1), (16, 16, 3, 1, 16), (16, 24, 1, 1, 1)]),
        ("basic_k3", [(16, 24, 3, 2, 1), (24, 24, 3, 1, 1)]),
        ("bottleneck_k3_e1", [(16, 6, 1, 1, 1), (6, 6, 3, 2, 1), (6, 24, 1, 1, 1)]),
        ("resnext_k3_e1", [(16, 12, 1, 1, 1), (12, 12, 3, 2, 3), (12, 24, 1, 1, 1)]),
        ("convnext_k7_e4", [(16, 16, 7, 2, 16), (16, 64, 1, 1, 1), (64, 24, 1, 1, 1)]),
        ("ghost_k3_e2", GHOST),
        ("mixconv_k7_e1", MIXED),
    ],
)
def test_structure(name: str, structure: list[tuple[int, int, int, int, int]]) -> None:
    assert convolutions(name) == structure


def test_a_ghost_module_keeps_what_it_filters_cheaply() -> None:
    last = list(build_op(OpSpec.parse("ghost_k3_e1"), SAME).children())[-1]
    images = torch.randn(2, 16, 7, 7)
    assert torch.equal(last(images)[:, :8], next(iter(last.children()))(images))


def test_uib_starts_without_an_activation() -> None:
    for name in ("uib_extra_k3_e2", "uib_convnext_k3_e2"):
        types = [type(m) for m in build_op(OpSpec.parse(name), SAME).modules() if not list(m.children())]
        assert types[:5] == [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_global_response_norm_by_hand() -> None:
    images = torch.tensor([[[[3.0, 4.0]], [[0.0, 1.0]]]])
    layer = GlobalResponseNorm(2)
    nn.init.constant_(layer.bias, 0.5)
    wanted = torch.stack([images[0, 0] * (1 + 5 / 3), images[0, 1] * (1 + 1 / 3)]) + 0.5
    assert torch.allclose(layer(images)[0], wanted, atol=1e-4)


def test_star_multiplies_two_projections() -> None:
    star, images = Star(8, 16, "relu"), torch.randn(2, 8, 3, 3)
    active, linear = star.active(images), star.linear(images)
    assert bool((active >= 0).all())
    assert torch.equal(star(images), active * linear)


def test_large_kernel_attention_sees_at_least_the_papers_21_pixels() -> None:
    layer = LargeKernelAttention(8, 7, 3).eval()
    images = torch.randn(1, 8, 41, 41, requires_grad=True)
    torch.autograd.backward(layer.context(images)[:, :, 20, 20].sum())
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0).sum(0).nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (20 - 11, 20 + 11)  # 5 wide, then 7 wide with holes of 3: 2 + 9 each side
    assert torch.equal(layer(images), images * layer.context(images))


def attention_by_hand(layer: PooledAttention, images: Tensor, regions: Tensor) -> Tensor:
    query, (key, value) = layer.query(images), layer.key_value(regions).chunk(2, dim=1)
    mixed = torch.zeros_like(query)
    for head in range(query.shape[1] // 8):
        part = slice(8 * head, 8 * head + 8)
        q, k, v = (t[:, part].flatten(2) for t in (query, key, value))
        scores = torch.einsum("ncq,nck->nqk", q, k) / math.sqrt(8)
        mixed[:, part] = torch.einsum("nqk,nck->ncq", scores.softmax(-1), v).view_as(mixed[:, part])
    output: Tensor = layer.project(mixed)
    return output


@pytest.mark.parametrize("size", [1, 3, 14])
def test_attention_is_full_at_low_and_pooled_at_high_resolution(size: int) -> None:
    layer = PooledAttention(16, 32, 24, grid=7)
    with_statistics(layer)
    images = torch.randn(2, 16, size, size)
    regions = images if size <= 7 else functional.avg_pool2d(images, size // 7)
    assert torch.allclose(layer(images), attention_by_hand(layer, images, regions), atol=1e-4)


def test_means_at_a_border_do_not_count_padding() -> None:
    shape = BlockShape(in_channels=8, out_channels=8, stride=1, resolution=3)
    pooled = build_op(OpSpec.parse("avgpool_k5"), shape)(torch.ones(1, 8, 3, 3))
    assert torch.equal(pooled, torch.ones(1, 8, 3, 3))


@pytest.mark.parametrize("kind", ["avgpool", "maxpool"])
def test_pooling_has_parameters_only_where_channels_change(kind: str) -> None:
    spec = OpSpec.parse(f"{kind}_k3")
    assert [bool(list(build_op(spec, shape).parameters())) for shape in SHAPES] == [False, True, False]
