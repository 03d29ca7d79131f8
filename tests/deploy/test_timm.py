import sys
from typing import Any

import pytest
import timm
import torch
from timm.data.config import resolve_data_config
from torch import nn

import evospace.deploy.timm  # registers the models
from evospace.deploy.timm_folder import require_timm
from evospace.deploy.timm_network import TimmNetwork, chosen_levels
from evospace.errors import DataError, UsageError
from evospace.supernet.network import Network
from tests.deploy.networks import described_of, trained

PUBLISHED = ("nsenet_27", "nsenet", "nsenet_gpu")
resolve: Any = resolve_data_config
DESCRIBED = described_of([["mbconv_k3_e1", "repvgg_k3"]], channels=1)
IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def made(**settings: Any) -> Any:
    """A `TimmNetwork`, or what timm wraps it in."""
    return timm.create_model("evospace_network", network=DESCRIBED.to_json(), **settings).eval()


def test_the_models_are_registered() -> None:
    assert evospace.deploy.timm.default_cfgs
    assert all(timm.is_model(name) for name in (*PUBLISHED, "evospace_network"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_keep_the_protocol(name: str) -> None:
    with torch.device("meta"):
        model: Any = timm.create_model(name, num_classes=7).eval()
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 7)
    assert model.default_cfg is model.pretrained_cfg
    assert model.default_cfg["num_classes"] == 1000
    assert resolve({}, model=model)["input_size"] == (3, 224, 224)
    assert model.get_submodule(model.default_cfg["classifier"]) is model.get_classifier()
    assert model.get_submodule(model.default_cfg["first_conv"]).in_channels == 3


def test_it_is_the_network_that_is_described() -> None:
    model, network = made(), trained(DESCRIBED)
    assert (model.num_classes, model.in_chans, model.num_features, model.head_hidden_size) == (5, 1, 40, 128)
    model.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(model(IMAGES), network(IMAGES))
        features = model.forward_features(IMAGES)
        assert features.shape == (2, model.num_features, 2, 2)
        assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
        assert torch.equal(model.forward_head(features), network(IMAGES))


def test_other_inputs_and_classes() -> None:
    model = made(in_chans=3, num_classes=9, drop_rate=0.5)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert model(images).shape == (2, 9)
        model.train()
        assert not torch.equal(model(images), model(images))
    assert made(num_classes=0)(IMAGES).shape == (2, 128)


def test_the_classifier_is_reset() -> None:
    model = made()
    model.reset_classifier(3)
    assert isinstance(model.get_classifier(), nn.Linear)
    assert (model.num_classes, model(IMAGES).shape) == (3, (2, 3))
    model.reset_classifier(0)
    assert isinstance(model.get_classifier(), nn.Identity)
    assert model(IMAGES).shape == (2, model.head_hidden_size)
    model.reset_classifier(0, "")
    assert model(IMAGES).shape == (2, model.head_hidden_size, 2, 2)
    model.reset_classifier(4, "max")
    assert model(IMAGES).shape == (2, 4)
    model.reset_classifier(4, "catavgmax")
    assert model(IMAGES).shape == (2, 4)
    model.half().reset_classifier(5)
    assert model.get_classifier().weight.dtype == torch.float16


def test_pools_and_drop_path_are_those_that_timm_has() -> None:
    assert made(global_pool="catavgmax")(IMAGES).shape == (2, 5)
    with pytest.raises(UsageError, match="classes need pooled features"):
        made().reset_classifier(5, "")
    model = made(drop_path_rate=0.9)
    assert torch.equal(model(IMAGES), model(IMAGES))
    model.train()
    assert not torch.equal(model(IMAGES), model(IMAGES))


def test_features_only_gives_the_pyramid() -> None:
    torch.manual_seed(0)
    features = made(features_only=True)
    maps = features(IMAGES)
    assert features.feature_info.channels() == [m.shape[1] for m in maps] == [16, 24, 40]
    assert features.feature_info.reduction() == [8 // m.shape[2] for m in maps] == [1, 2, 4]
    assert [m.shape[1] for m in made(features_only=True, out_indices=(0, -1))(IMAGES)] == [16, 40]
    assert not any(name.startswith("model.head") for name, _ in features.named_parameters())


def test_intermediates() -> None:
    model = made()
    last, maps = model.forward_intermediates(IMAGES, indices=2)
    assert torch.equal(last, maps[-1])
    assert len(maps) == 2
    assert len(model.forward_intermediates(IMAGES, intermediates_only=True)) == 3
    assert chosen_levels(5, None) == [0, 1, 2, 3, 4]
    assert chosen_levels(5, 2) == [3, 4]
    assert chosen_levels(5, (-1, 0)) == [4, 0]
    for wrong in (6, (5,), (-6,)):
        with pytest.raises(UsageError, match="the network has 5"):
            chosen_levels(5, wrong)


def test_parameter_groups_cover_the_layers() -> None:
    from timm.models import group_parameters

    groups = group_parameters(made(), group_matcher=made().group_matcher())
    assert len(groups) == 2 + len(DESCRIBED.architecture.blocks)


def test_what_makes_no_network_is_told() -> None:
    for settings in ({"in_chans": 0}, {"num_classes": -2}):
        with pytest.raises(UsageError, match="at least one channel"):
            TimmNetwork(DESCRIBED, **settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs network="):
        timm.create_model("evospace_network")
    with pytest.raises(DataError, match="not a network's description"):
        timm.create_model("evospace_network", network={"format": "x"})


def test_a_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="needs timm: pip install timm"):
        require_timm()


def test_state_dicts_have_the_same_names() -> None:
    network = Network(DESCRIBED.skeleton, DESCRIBED.architecture, DESCRIBED.classes)
    assert made().state_dict().keys() == network.state_dict().keys()
