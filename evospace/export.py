"""`evospace export`: a network with its weights as PyTorch code, as ONNX, or for timm."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evospace.config import NOT_PART_OF_THE_RESULT
from evospace.deploy.card import card
from evospace.deploy.folder import check_target, new_folder
from evospace.deploy.onnx_file import require_onnx, write_onnx
from evospace.deploy.prepare import Difference, Prepared, logits_of, prepare, probe_images
from evospace.deploy.results import evaluations_of
from evospace.deploy.settings import ExportSettings
from evospace.deploy.subject import Shipped, Subject, config_of, costs_of
from evospace.deploy.timm_folder import require_timm, timm_config, write_timm
from evospace.deploy.torch_folder import write_torch
from evospace.errors import UsageError, reason
from evospace.networks import FoundNetwork, find_network, search_settings
from evospace.ops.user import load_ops
from evospace.reading import is_folder
from evospace.runs.files import write_json, write_text
from evospace.runs.network_file import WEIGHTS, load_network, planned
from evospace.seeding import derive
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import Network, drawn

Write = Callable[[Path, Shipped, Tensor, Tensor], dict[str, Difference]]
WRITERS: dict[str, Write] = {"torch": write_torch, "onnx": write_onnx, "timm": write_timm}


def export(settings: ExportSettings) -> tuple[list[str], dict[str, Any]]:
    """Write the folder `settings.out`; returns lines for a reader and an object for programs.

    What is written is loaded again and compared with the source network before the folder appears.

    Raises:
        UsageError: a flag, a missing package, or an operation that cannot be written in this form.
        DataError: the network's file cannot be read or does not fit.
        DiskError: the folder cannot be written.
    """
    settings.check_required()
    {"torch": lambda: None, "onnx": require_onnx, "timm": require_timm}[settings.to]()
    load_ops(settings.ops)
    out = Path(settings.out)
    check_target(out)
    subject = _subject(settings)
    images = probe_images(subject.described.input_shape)
    try:
        prepared = prepare(subject.network, images, fold_bn=settings.fold_bn)
    except RuntimeError as error:  # a user's operation
        raise UsageError(f"{settings.network}: the network does not run ({reason(error):.200})") from error
    found = _preparation(prepared)
    shipped = Shipped(
        subject=subject,
        network=prepared.network,
        folded=settings.fold_bn,
        costs=costs_of(prepared.network, subject.described.input_shape),
        checks={},
    )
    with new_folder(out) as folder:
        found |= WRITERS[settings.to](folder, shipped, images, logits_of(subject.network, images))
        shipped = replace(shipped, checks={what: apart.to_json() for what, apart in found.items()})
        more = timm_config(shipped) if settings.to == "timm" else {}
        write_json(folder / "config.json", config_of(shipped, settings.to) | more)
        write_text(folder / "README.md", card(shipped, settings.to))
        files = sorted(path.name for path in folder.iterdir())
    return _lines(settings, shipped, found, files), _result(settings, shipped, files)


def _subject(settings: ExportSettings) -> Subject:
    _require_no_trained(Path(settings.network))
    found = find_network(settings.network)
    if found.checkpoint is None:
        return Subject(
            described=_named(found.described),
            network=_fresh(found, settings),
            trained=False,
            search=_told(search_settings(settings.network)),
            license=settings.license,
        )
    stored = load_network(found.checkpoint)
    search = stored.training.get("search")
    own, evaluations = evaluations_of(found.checkpoint)
    return Subject(
        described=_named(stored.described),
        network=stored.build(),
        trained=True,
        training=_without_places(stored.training),
        evaluations=evaluations,
        own_evaluation=own,
        search=_told(search) if isinstance(search, dict) else {},
        license=settings.license,
    )


def _require_no_trained(folder: Path) -> None:
    """Raise `UsageError` for a folder of `evospace retrain`: which of its weights are meant is to be said."""
    if not is_folder(folder):
        return
    places = ("", "seed-*/", "net-*/seed-*/")
    trained = [p for place in places for name in WEIGHTS for p in sorted(folder.glob(f"{place}{name}.safetensors"))]
    if trained:
        raise UsageError(f"{folder}: holds trained weights; name those to export, e.g. {trained[-1]}")


def _named(described: DescribedNetwork) -> DescribedNetwork:
    """Without where it and its images lie on this machine: an export is there to be handed on."""
    return replace(described, name="/".join(Path(described.name).parts[-2:]), data=Path(described.data).name)


def _without_places(training: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in training.items() if key not in ("search", "place")}
    return told | {"init": "/".join(Path(str(told.get("init", ""))).parts[-2:])}


def _told(search: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search that its result depends on."""
    return {key: value for key, value in search.items() if key not in NOT_PART_OF_THE_RESULT}


def _fresh(found: FoundNetwork, settings: ExportSettings) -> Network:
    described = found.described
    planned(described)
    make = partial(Network, described.skeleton, described.architecture, described.classes)
    return drawn(make, torch.Generator().manual_seed(derive(settings.seed, "export-weights"))).eval()


def _preparation(prepared: Prepared) -> dict[str, Difference]:
    found = {"merging parallel branches": prepared.merged, "folding BatchNorm": prepared.folded}
    return {what: apart for what, apart in found.items() if apart is not None}


def _lines(settings: ExportSettings, shipped: Shipped, found: dict[str, Difference], files: list[str]) -> list[str]:
    weights = "trained weights" if shipped.subject.trained else "FRESH WEIGHTS (random, not trained)"
    size = " x ".join(map(str, shipped.subject.described.input_shape))
    return [
        f"{settings.network}: {weights}, images {size}, {shipped.costs['macs']:,} MACs,"
        f" {shipped.costs['params']:,} parameters",
        *(f"{what}: logits differ by {apart}" for what, apart in found.items()),
        f"written to {settings.out}: {', '.join(files)}",
    ]


def _result(settings: ExportSettings, shipped: Shipped, files: list[str]) -> dict[str, Any]:
    return {
        "network": settings.network,
        "to": settings.to,
        "out": settings.out,
        "files": files,
        "trained": shipped.subject.trained,
        "macs": shipped.costs["macs"],
        "params": shipped.costs["params"],
        "checks": dict(shipped.checks),
    }
