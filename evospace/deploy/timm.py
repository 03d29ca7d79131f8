"""Importing this registers EvoSpace's networks with timm: `nsenet_27`, `nsenet`, `nsenet_gpu`, `evospace_network`."""

from collections.abc import Mapping
from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from evospace.deploy.timm_folder import pretrained_cfg
from evospace.deploy.timm_network import TimmNetwork
from evospace.errors import UsageError
from evospace.space.described import DescribedNetwork, published_network
from evospace.supernet.network import pyramid_levels

_CFG: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "num_classes": 1000,
    "pool_size": (7, 7),
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "first_conv": "stem.0",
    "classifier": "head.4",
}
_NAMES = ("nsenet_27", "nsenet", "nsenet_gpu", "evospace_network")
_CFGS: dict[str, Any] = {f"{name}.untrained": dict(_CFG) for name in _NAMES}
default_cfgs = generate_default_cfgs(_CFGS)


def _build(variant: str, described: DescribedNetwork, pretrained: bool, given: Mapping[str, Any]) -> nn.Module:
    levels = len(pyramid_levels(described.skeleton))
    model: nn.Module = build_model_with_cfg(
        TimmNetwork,
        variant,
        pretrained,
        feature_cfg={"out_indices": tuple(range(levels)), "feature_cls": "getter"},
        described=described,
        **given,
    )
    return model


@register_model
def nsenet_27(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """NSENet-27 of the NSE paper, without weights."""
    return _build("nsenet_27", published_network("nsenet-27"), pretrained, kwargs)


@register_model
def nsenet(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """NSENet of the NSE paper, without weights."""
    return _build("nsenet", published_network("nsenet"), pretrained, kwargs)


@register_model
def nsenet_gpu(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """NSENet-GPU of the NSE paper, without weights."""
    return _build("nsenet_gpu", published_network("nsenet-gpu"), pretrained, kwargs)


@register_model
def evospace_network(pretrained: bool = False, *, network: Mapping[str, Any] | None = None, **kwargs: Any) -> nn.Module:
    """The network of a description (the mapping of a `network.json`), as an exported folder holds it.

    Raises `UsageError` without a description, and `DataError` for one that is none, or that needs a user's operations
    (`evospace.ops.user.load_ops_file` loads them).
    """
    if network is None:
        raise UsageError(
            "evospace_network needs network=..., the content of a network.json; or load an exported folder"
        )
    described = DescribedNetwork.from_json(network)
    cfg = kwargs.pop("pretrained_cfg", None) or pretrained_cfg(described)
    return _build("evospace_network", described, pretrained, {**kwargs, "pretrained_cfg": cfg})
