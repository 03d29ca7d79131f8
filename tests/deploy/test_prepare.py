from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

from evospace.deploy.prepare import checked, difference, fold_batch_norms, logits_of, prepare, probe_images
from evospace.errors import UsageError
from evospace.ops.modern.reparam import RepConv
from tests.deploy.networks import described_of, trained


def norm(channels: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels)
    assert made.running_mean is not None
    made.running_mean.normal_()
    nn.init.uniform_(made.weight, 0.5, 2.0)
    nn.init.normal_(made.bias)
    return made.eval()


def test_a_batch_norm_right_after_a_convolution_is_folded() -> None:
    torch.manual_seed(0)
    relu, shared = nn.ReLU(), nn.Conv2d(3, 3, 1)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), relu, nn.Conv2d(8, 3, 1, bias=False), norm(3), relu, norm(3))
    named = nn.Sequential(OrderedDict(conv=shared, norm=norm(3), again=shared, last=norm(3)))
    network = nn.Sequential(layers, named).eval()
    images = torch.randn(2, 3, 6, 6)
    folded: Any = fold_batch_norms(network)
    assert torch.allclose(folded(images), network(images), atol=1e-5)
    assert [type(m).__name__ for m in folded[0]] == ["Conv2d", "ReLU", "Conv2d", "ReLU", "BatchNorm2d"]
    assert [name for name, _ in folded[1].named_children()] == ["conv", "again"]
    assert len(layers) == 7


def test_what_a_subclass_or_another_layer_separates_is_not_folded() -> None:
    class Own(nn.Sequential):
        pass

    network = nn.Sequential(Own(nn.Conv2d(3, 3, 1), norm(3)), nn.Conv2d(3, 3, 1), nn.ReLU(), norm(3))
    assert fold_batch_norms(network).state_dict().keys() == network.state_dict().keys()


def test_preparing_merges_folds_and_tells_by_how_much() -> None:
    described = described_of([["repvgg_k3", "mbconv_k3_e1"]])
    network, images = trained(described), probe_images(described.input_shape)
    plain, folded = (prepare(network, images, fold_bn=fold) for fold in (False, True))
    assert not any(isinstance(m, RepConv) for m in plain.network.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in plain.network.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.network.modules())
    assert plain.folded is None
    for found in (plain.merged, folded.merged, folded.folded):
        assert found is not None
        assert 0 < found.relative < 1e-4
    assert torch.allclose(logits_of(folded.network, images), logits_of(network, images), atol=1e-3)
    assert prepare(trained(described_of([["conv_k3_e1"]])), images, fold_bn=False).merged is None


def test_an_operation_that_counts_its_layers_is_told() -> None:
    class Indexed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), norm(3), nn.ReLU())

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layers[2](self.layers[1](self.layers[0](images)))
            return out

    with pytest.raises(UsageError, match="--fold-bn: an operation cannot do without"):
        prepare(Indexed().eval(), torch.randn(2, 3, 4, 4), fold_bn=True)


def test_differences() -> None:
    apart = difference(torch.tensor([[1.0, -4.5]]), torch.tensor([[1.0, -4.0]]))
    assert (apart.absolute, apart.relative) == (0.5, 0.125)
    assert apart.to_json() == {"absolute": 0.5, "relative": 0.125}
    zero = torch.zeros(1, 2)
    assert difference(zero, zero).relative == 0
    for found, wanted in ((zero + 1, zero), (zero, zero[:, :1]), (zero + torch.nan, zero), (zero, zero / 0)):
        assert difference(found, wanted).relative == torch.inf
        with pytest.raises(UsageError, match=r"it changes the logits by .*nothing was exported"):
            checked("it", found, wanted)


def test_probe_images_are_always_the_same() -> None:
    assert torch.equal(probe_images((3, 4, 4)), probe_images((3, 4, 4)))
    assert probe_images((1, 2, 2), 7).shape == (7, 1, 2, 2)
