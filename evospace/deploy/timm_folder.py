"""`--to timm`: a folder that `timm.create_model("local-dir:DIR", pretrained=True)` loads."""

from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from evospace.deploy.prepare import Difference, checked, logits_of
from evospace.deploy.subject import Shipped, config_of
from evospace.deploy.torch_folder import weights_of
from evospace.errors import UsageError, reason
from evospace.runs.files import write_bytes, write_json
from evospace.space.described import DescribedNetwork


def require_timm() -> None:
    """Raise `UsageError` where timm is missing."""
    try:
        import timm  # noqa: F401
    except ImportError as error:
        raise UsageError(f"--to timm needs {error.name}: pip install timm") from error


def timm_config(shipped: Shipped) -> dict[str, Any]:
    """What timm reads of `config.json`."""
    described, subject = shipped.subject.described, shipped.subject
    return {
        "architecture": "evospace_network",
        "num_classes": described.classes,
        "num_features": described.skeleton.final_channels,
        "label_names": list(described.class_names),
        "model_args": {"network": described.to_json(), "merged": True, "folded": shipped.folded},
        "pretrained_cfg": {
            **pretrained_cfg(described),
            "crop_pct": subject.crop_pct or 1.0,
            "tag": "trained" if subject.trained else "untrained",
            "license": subject.license or None,
        },
    }


def pretrained_cfg(described: DescribedNetwork) -> dict[str, Any]:
    """Input, classes and the names of the first and last layer, as timm calls them."""
    channels, last = described.skeleton.image_channels, described.skeleton.final_resolution
    return {
        "input_size": list(described.input_shape),
        "pool_size": [last, last],
        "mean": list(described.mean) or [0.0] * channels,
        "std": list(described.std) or [1.0] * channels,
        "num_classes": described.classes,
        "first_conv": "stem.0",
        "classifier": "head.4",
        "crop_pct": 1.0,
        "interpolation": "bilinear",
    }


def write_timm(folder: Path, shipped: Shipped, images: Tensor, wanted: Tensor) -> dict[str, Difference]:
    """Write weights and what timm needs of the config, load the folder through timm and compare."""
    write_bytes(folder / "model.safetensors", save(weights_of(shipped.network)))
    write_json(folder / "config.json", config_of(shipped, "timm") | timm_config(shipped))
    import timm

    import evospace.deploy.timm  # noqa: F401  registers the network

    try:
        found = logits_of(timm.create_model(f"local-dir:{folder}", pretrained=True), images)
    except Exception as error:  # a user's operation can fail in any way
        raise UsageError(f"timm does not load or run the export ({reason(error):.200})") from error
    return {"timm.create_model": checked("timm.create_model", found, wanted)}
