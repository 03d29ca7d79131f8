import pytest
import torch
from torch import nn

from evospace.cost.count import count_module, count_op
from evospace.ops.build import build_op
from evospace.ops.modern.reparam import has_branches
from evospace.ops.spec import BlockShape, OpSpec

SHAPE = BlockShape(in_channels=8, out_channels=12, stride=2, resolution=9)
OUT = 5 * 5


@pytest.mark.parametrize(
    ("name", "macs", "weights"),
    [
        (
            "conv_k3_e1",
            8 * 8 * 81 + 8 * 8 * 9 * OUT + 8 * 12 * OUT,
            8 * 8 + 8 * 8 * 9 + 8 * 12 + 2 * (8 + 8 + 12),
        ),
        (
            "mbconv_k5_e2",
            8 * 16 * 81 + 16 * 25 * OUT + 16 * 12 * OUT,
            8 * 16 + 16 * 25 + 16 * 12 + 2 * (32 + 12),
        ),
        (
            "mbconv_k3_e1_g2x1_se",
            8 * 8 // 2 * 81 + 8 * 9 * OUT + 2 * 8 * 2 + 8 * 12 * OUT,
            8 * 8 // 2 + 8 * 9 + (8 * 2 + 2 + 2 * 8 + 8) + 8 * 12 + 2 * (8 + 8 + 12),
        ),
        # branches that are merged, with a bias and without BatchNorm
        ("repvgg_k3", 8 * 12 * 9 * OUT, 8 * 12 * 9 + 12),
        ("mobileone_k5", 8 * 25 * OUT + 8 * 12 * OUT, 8 * 25 + 8 + 8 * 12 + 12),
        (
            "replk_k9_e2",
            8 * 16 * 81 + 16 * 81 * OUT + 16 * 12 * OUT,
            8 * 16 + 2 * 16 + 16 * 81 + 16 + 16 * 12 + 2 * 12,
        ),
    ],
)
def test_an_operations_costs_by_hand(name: str, macs: int, weights: int) -> None:
    assert count_op(OpSpec.parse(name), SHAPE) == {"macs": macs, "params": weights}


def test_a_linear_layer() -> None:
    with torch.device("meta"):
        layer = nn.Linear(3, 4)
    assert count_module(layer, (1, 3)) == {"macs": 12, "params": 16}


def test_what_is_counted_keeps_its_branches() -> None:
    module = build_op(OpSpec.parse("repvgg_k3"), SHAPE)
    count_module(module, (1, 8, 9, 9), device="cpu")
    assert has_branches(module)


def test_what_a_caller_does_to_a_count_stays_with_the_caller() -> None:
    spec = OpSpec.parse("conv_k3_e1")
    first = count_op(spec, SHAPE)
    first["macs"] = 0
    assert count_op(spec, SHAPE)["macs"] > 0
