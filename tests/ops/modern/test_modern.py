"""The pool `modern`: oracles for what its families are known for; tests/ops/test_operations.py has the suite."""

import pytest
import torch
from torch import nn

from evospace.errors import UsageError
from evospace.ops.build import build_op
from evospace.ops.layers import eca_kernel
from evospace.ops.modern.channels import ChannelShuffle, mixed_sizes
from evospace.ops.modern.reparam import reparametrise
from evospace.ops.pools import POOLS
from evospace.ops.spec import BlockShape, OpSpec

MODERN = POOLS["modern"]


def test_it_is_large_and_nothing_comes_twice() -> None:
    assert len(MODERN) == len(set(MODERN)) >= 200
    assert len({spec.kind for spec in MODERN}) >= 16


@pytest.mark.parametrize("name", ["repvgg_k3", "repvgg_k5", "mobileone_k3", "replk_k9_e1"])
@pytest.mark.parametrize(("outputs", "stride"), [(16, 1), (24, 2)])
def test_reparametrised_it_computes_the_same_with_fewer_convolutions(name: str, outputs: int, stride: int) -> None:
    torch.manual_seed(0)
    shape = BlockShape(in_channels=16, out_channels=outputs, stride=stride, resolution=8)
    module = build_op(OpSpec.parse(name), shape)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    images = torch.randn(3, 16, 8, 8)
    merged = reparametrise(module)
    torch.testing.assert_close(merged(images), module.eval()(images), atol=1e-5, rtol=1e-4)

    def convolutions(network: nn.Module) -> int:
        return sum(isinstance(m, nn.Conv2d) for m in network.modules())

    assert convolutions(merged) < convolutions(module)


def test_the_shuffle_takes_the_halves_in_turn() -> None:
    images = torch.arange(6.0).view(1, 6, 1, 1)
    assert ChannelShuffle()(images).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_eca_and_mixconv_follow_their_papers_rules() -> None:
    assert [eca_kernel(c) for c in (16, 64, 128, 256, 512)] == [3, 3, 5, 5, 5]
    for channels in (16, 40, 96, 120):
        sizes = mixed_sizes(channels, 3)
        assert sum(sizes) == channels
        assert max(sizes) - min(sizes) <= channels // 3


def test_squeeze_excite_is_refused_where_it_would_be_ignored() -> None:
    shape = BlockShape(in_channels=16, out_channels=16, stride=1, resolution=8)
    with pytest.raises(UsageError, match="write repvgg_k3"):
        build_op(OpSpec.parse("repvgg_k3_se"), shape)
