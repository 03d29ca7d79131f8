"""Tests the networks that `evospace retrain` wrote on test images; nothing else does (`study` calls it)."""

import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table
from torch import Tensor

from evospace.cost.network_cost import count_network
from evospace.data import ImageData, load_data
from evospace.devices import device_of, memory_errors
from evospace.errors import DataError, DiskError, NotFiniteError, printable
from evospace.evaluation.metrics import TestResult, evaluate_network, seconds_per_batch
from evospace.evaluation.settings import EvaluateSettings
from evospace.ops.user import load_ops
from evospace.reading import is_file, is_folder
from evospace.report.confusion import confusion_csv, draw_confusion
from evospace.report.tables import short
from evospace.runs.contents import Origin, hash_of_test, place_of, read_place, where_they_lie_now
from evospace.runs.evaluation_file import FORMAT
from evospace.runs.files import write_json, write_text
from evospace.runs.network_file import WEIGHTS, TrainedNetwork, load_network
from evospace.runs.retrain_directory import Job, jobs_in
from evospace.runs.stored_settings import read_config, retrain_again
from evospace.space.described import DescribedNetwork
from evospace.supernet.network import Network

NAME = 9
"""Characters of a network's name in the table: its end, which tells the members of a front apart."""
COLUMNS = (
    *("network", " seed", " kind", "  MACs", " params", " top-1"),
    *("  top-5", "  loss", "  ECE", " img/s", "   ms"),
)


def evaluate(settings: EvaluateSettings) -> tuple[dict[str, Any], Table, list[str]]:
    """Test every checkpoint; write its results beside each, if possible.

    They are `<weights>-evaluation.json`, and `<weights>-confusion.csv` and `.png`; tested on other data than the
    network's own, `<weights>-evaluation-<data>.json` and so on, for a folder with a hash of its place.

    Returns an object for a program, a table and lines for a person. Raises `EvospaceError` subclasses for everything
    a user can mend.
    """
    settings = _with_the_retrainings_settings(settings)
    load_ops(settings.ops)
    device = device_of(settings.device)
    found, data, lines, doubts = list[dict[str, Any]](), None, list[str](), dict[str, None]()
    paths, without = _checkpoints(Path(settings.checkpoint))
    if without:
        names = ", ".join(job.name for job in without)
        text = f"warning: not tested, as there are no weights: {names}"
        doubts[f"{text}; train what is missing with: {retrain_again(without[0].root)}"] = None
    for path in paths:
        stored = load_network(path)
        network = stored.build().to(memory_format=torch.channels_last)
        data = data or _images(stored, settings, device)
        _require_same_classes(path, stored.described, data)
        with memory_errors(f"testing {path} at --batch-size {settings.batch_size}", "give a smaller one"):
            entry, confusion = _one(path, stored, network.to(device), data, settings)
        found.append(entry)
        doubt = data.divided and stored.origin.doubt(settings.data, data.name, data.contents)
        doubts |= {doubt: None} if doubt else {}
        if stored.crop_pct not in (None, data.test.crop_pct):
            text = f"the middle {data.test.crop_pct:.1%} of each image of {data.name} is seen"
            doubts[f"warning: {text}, {stored.described.name} was trained for {stored.crop_pct:.1%}"] = None
        other = "" if _own(stored.origin, settings.data, data) else f"-{_file_name(settings.data)}"
        lines.append(_stored(path, other, entry, confusion, stored.described))
    if len(lines) > 1 and all(line.startswith("wrote ") for line in lines):
        lines = [f"{lines[0]} and {len(lines) - 1} more"]
    return {"evaluations": found}, evaluation_table(found), [*spread_lines(found), *doubts, *lines]


def _with_the_retrainings_settings(settings: EvaluateSettings) -> EvaluateSettings:
    """Where the data lie, as the retraining was told, unless that is given; operations are code, and never taken so."""
    path = Path(settings.checkpoint).absolute()
    around = (path, path / "retrained", *list(path.parents)[:3])
    root = next((folder for folder in around if is_folder(folder) and next(folder.glob("net-*"), None)), None)
    if root is None or not is_file(root / "config.yaml"):
        return settings
    stored = read_config(root)
    same = Origin(data=str(stored.get("data", "")), place=read_place(root)).is_of(settings.data)
    data_dir = settings.data_dir or (str(stored.get("data_dir", "")) if same else "")
    return replace(settings, data_dir=data_dir)


def _checkpoints(path: Path) -> tuple[list[Path], list[Job]]:
    """Those that `path` names, and the trainings of a retraining that have none."""
    if not is_folder(path):
        return [path], []
    folders = (path, *sorted(path.glob("seed-*")))  # one training, or those of one network
    files = [folder / f"{weights}.safetensors" for folder in folders for weights in WEIGHTS]
    if own := [file for file in files if is_file(file)]:
        return own, []
    jobs = jobs_in(path / "retrained" if is_folder(path / "retrained") else path)
    of = {job: [file for weights in WEIGHTS if is_file(file := job.checkpoint(weights))] for job in jobs}
    if not any(of.values()):
        root = jobs[0].root
        raise DataError(f"{root}: no training is finished; go on with: {retrain_again(root)}")
    return [file for files in of.values() for file in files], [job for job, files in of.items() if not files]


def _images(stored: TrainedNetwork, settings: EvaluateSettings, device: str) -> ImageData:
    described = stored.described
    with where_they_lie_now("" if settings.data else described.name):
        data = load_data(
            settings.data or described.data,
            data_dir=Path(settings.data_dir) if settings.data_dir else None,
            image_size=described.skeleton.image_size,
            seed=stored.data_seed,
            device=device,
            workers=settings.workers,
        )
    trained = stored.training.get("contents")
    if isinstance(trained, dict) and stored.origin.is_of(settings.data) and trained != dict(data.contents):
        raise DataError(
            f"{data.name}: the images are not those that {described.name} was trained on, so that its test images may"
            " have been trained on; restore them, or test on other images with --data"
        )
    if not len(data.test):
        raise DataError(f"{data.name}: no test images")
    return data


def _require_same_classes(path: Path, described: DescribedNetwork, data: ImageData) -> None:
    if data.image_channels != described.skeleton.image_channels:
        text = f"{described.skeleton.image_channels} image channel(s), {data.name} has {data.image_channels}"
        raise DataError(f"{path}: trained on {text}; test it on such images")
    if data.classes != described.class_names:
        mine, other = next((a, b) for a, b in zip_longest(described.class_names, data.classes) if a != b)
        first = " and ".join("nothing" if name is None else f"{name!r:.60}" for name in (mine, other))
        counts = f"{described.classes} classes, {data.name} has {len(data.classes)}"
        raise DataError(
            f"{path}: trained for {counts} (the first that differs: {first}); test it on the"
            " classes it was trained for, or fine-tune it: evospace retrain --init"
        )


def _one(
    path: Path, stored: TrainedNetwork, network: Network, data: ImageData, settings: EvaluateSettings
) -> tuple[dict[str, Any], Tensor]:
    """What is stored of a test, and the confusion matrix."""
    described = stored.described
    split = data.test.normalised_by(described.mean, described.std)
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        result = evaluate_network(network, split, described.classes, settings.batch_size)
        batch = seconds_per_batch(network, described.input_shape, settings.batch_size, settings.threads)
    except ValueError as error:
        raise NotFiniteError(f"{path}: {error}") from error
    finally:
        torch.set_num_threads(before)
    counted = count_network(described.skeleton, described.architecture, described.classes)
    single = seconds_per_batch(network, described.input_shape, 1, settings.threads)
    device = next(network.parameters()).device.type
    entry = {
        "format": FORMAT,
        "checkpoint": str(path),
        "network": described.name,
        "weights": stored.training.get("weights"),
        "seed": stored.training.get("seed"),
        "data": data.name,
        **_scores(result),
        "macs": counted["macs"],
        "params": counted["params"],
        "throughput_images_per_s": settings.batch_size / batch,
        "latency_ms": 1000 * single,
        "latency_of": f"torch {torch.__version__}, {device}, batch 1, {settings.threads} thread(s)",
    }
    return entry, result.confusion


def _own(origin: Origin, given: str, data: ImageData) -> bool:
    """Whether it is tested on the data set it was trained on, which may lie elsewhere if it is not there any more."""
    if origin.is_of(given):
        return True
    return origin.gone and origin.test != "" and origin.test == hash_of_test(data.contents)


def _file_name(given: str) -> str:
    """Of a data set: the end of its name, with what any file system takes, and of a folder a hash of its place."""
    name = re.sub(r"[^\w.-]+", "-", Path(given).resolve().name)[-30:]
    return f"{name}-{place_of(given)[:6]}" if place_of(given) else name


def _stored(path: Path, other: str, entry: dict[str, Any], confusion: Tensor, described: DescribedNetwork) -> str:
    """A line that says what was written; what was tested is told, too, where nothing can be (a read-only folder)."""
    written = path.with_name(f"{path.stem}-evaluation{other}.json")
    try:
        write_json(written, entry)
        drawn = path.with_name(f"{path.stem}-confusion{other}.png")
        write_text(drawn.with_suffix(".csv"), confusion_csv(confusion, described.class_names))
        draw_confusion(drawn, confusion, described.class_names)
    except DiskError as error:
        return f"warning: not stored: {error}"
    return f"wrote {written}"


def _scores(result: TestResult) -> dict[str, Any]:
    names = ("images", "top1", "top5", "loss", "calibration_error")
    return {name: getattr(result, name) for name in names}


def evaluation_table(found: Iterable[dict[str, Any]]) -> Table:
    """A row for each checkpoint, at most 80 characters wide; percentages, images per second, milliseconds of one."""
    table = Table(title="Test images", title_justify="left", box=box.SIMPLE_HEAD, padding=0, collapse_padding=True)
    for column in COLUMNS:
        left = column in ("network", " kind")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for e in found:
        top5 = "" if e["top5"] is None else f"{100 * e['top5']:.2f}"
        scores = f"{100 * e['top1']:.2f}", top5, f"{e['loss']:.3f}", f"{e['calibration_error']:.3f}"
        speeds = short(e["throughput_images_per_s"]), f"{e['latency_ms']:.3g}"
        name = e["network"].replace("/front.json#", "#")
        name = name if len(name) <= NAME else f"...{name[3 - NAME :]}"
        kind, costs = f" {e['weights']}", (short(e["macs"]), short(e["params"]))
        table.add_row(printable(name), str(e["seed"]), kind, *costs, *scores, *speeds)
    return table


def spread_lines(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Mean and standard deviation over seeds, for every network and kind of weights that has several.

    Those of a retraining's `net-NN` are one network, whatever the run was called when each was trained.
    """
    groups = dict[tuple[str, str], list[float]]()
    names = dict[str, str]()
    for e in found:
        folder = Path(e["checkpoint"]).parent.parent
        network = str(folder) if folder.name.startswith("net-") else e["network"]
        names[network] = e["network"]
        groups.setdefault((network, str(e["weights"])), []).append(100 * e["top1"])
    for (network, weights), values in groups.items():
        name = names[network]
        if len(values) > 1:
            spread = f"standard deviation {statistics.stdev(values):.2f}, {len(values)} seeds"
            yield f"{name} ({weights}): top-1 {statistics.mean(values):.2f} % ({spread})"
