"""The model card, `README.md` of an export: plain Markdown, in which every text from outside is only text."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from evospace.deploy.results import spread
from evospace.deploy.subject import Shipped, blocks_in_words
from evospace.errors import printable

SHOWN_CLASSES = 100
LONGEST = 300

LOADING = {
    "torch": """import torch
from safetensors.torch import load_file
from network import Network  # network.py of this folder
network = Network()
network.load_state_dict(load_file("model.safetensors"))
logits = network.eval()(torch.zeros(1, {shape}))""",
    "onnx": """import numpy
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
images = numpy.zeros((1, {shape}), dtype="float32")
(logits,) = session.run(["logits"], {{"images": images}})""",
    "timm": """import timm
import torch
import evospace.deploy.timm  # makes the network known to timm
network = timm.create_model("local-dir:.", pretrained=True)  # "." is this folder
logits = network.eval()(torch.zeros(1, {shape}))""",
}
PREPROCESSING = "Scale pixels to 0..1, take the mean of each channel off and divide by its standard deviation"


def text(value: object) -> str:
    """`value` on one line of Markdown, nothing in it being mark-up or a link."""
    line = printable(value)
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
    marks = r"([\\`*{}\[\]|~$^]|_(?![^\W_])|(?<![^\W_])_)"  # an underscore inside a word is only that
    escaped = re.sub(marks, r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    escaped = re.sub(r"^([#>+=]|-(?!\d))", r"\\\1", escaped)  # what begins a heading, a quotation or a list
    escaped = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped)
    return escaped.replace("://", ":&#47;/").replace("@", "&#64;").replace("www.", "www&#46;")


def card(shipped: Shipped, to: str) -> str:
    """The whole card of an export of kind `to`."""
    described = shipped.subject.described
    parts = [
        f"# {text(described.name)}",
        "\n".join(_what(shipped)),
        "## Loading\n\n" + "\n".join(_loading(shipped, to)),
        "## Accuracy\n\n" + "\n".join(_accuracy(shipped)),
        "## Costs\n\n" + "\n".join(_costs(shipped)),
        "## Data and classes\n\n" + "\n".join(_data(shipped)),
        "## Training\n\n" + _listed(shipped.subject.training, "Not trained: the weights are random."),
        "## Search\n\n" + _listed(shipped.subject.search, "The settings of a search are not known here."),
        "## Architecture\n\n" + "\n".join(f"{i}. {line}" for i, line in enumerate(blocks_in_words(described), start=1)),
        "## Checked\n\n" + "\n".join(_checked(shipped)),
        "## Licence\n\n"
        + (text(shipped.subject.license) or "Not stated. Whoever publishes this has to state one here."),
    ]
    return "\n\n".join(parts) + "\n"


def _what(shipped: Shipped) -> list[str]:
    described = shipped.subject.described
    channels, height, width = described.input_shape
    lines = [
        f"An image classifier found by neural architecture search: {channels} x {height} x {width} pixels to"
        f" {described.classes} classes, {len(described.architecture.blocks)} blocks.",
    ]
    if not shipped.subject.trained:
        lines += ["", "**The weights are fresh random ones. The network is not trained and predicts nothing.**"]
    return lines


def _loading(shipped: Shipped, to: str) -> list[str]:
    described = shipped.subject.described
    shape = ", ".join(map(str, described.input_shape))
    lines = ["```python", LOADING[to].format(shape=shape), "```", ""]
    if to == "timm" and any(op["source_sha256"] for op in described.to_json()["operations"].values()):
        lines += [
            "Operations of a user's own file have to be known first: `evospace.ops.user.load_ops_file(Path(FILE))`.",
            "",
        ]
    if described.mean:
        numbers = [", ".join(f"{n:.6g}" for n in values) for values in (described.mean, described.std)]
        size = described.skeleton.image_size
        if resize := shipped.subject.resize:
            lines.append(
                f"Scale an image's shorter side to {resize} pixels (bilinear) and cut out the middle {size} x {size}."
            )
        if resize == size:
            lines.append(
                f"To the pixel as in training: `PIL.ImageOps.fit(image, ({size}, {size}), Image.Resampling.BILINEAR)`."
            )
        return [*lines, f"{PREPROCESSING}: mean {numbers[0]}; standard deviation {numbers[1]}."]
    return [*lines, "Nothing is known of how inputs are normalised: the network was never trained."]


def _accuracy(shipped: Shipped) -> list[str]:
    results = shipped.subject.evaluations
    if not results:
        return ["Not measured."]
    names = (("top1", "top-1"), ("top5", "top-5"), ("loss", "loss"), ("calibration_error", "calibration error"))
    lines = ["| | this checkpoint | mean over seeds | standard deviation | seeds |", "|---|---|---|---|---|"]
    for key, name in names:
        if found := spread(results, key):
            own, (mean, deviation, count) = (shipped.subject.own_evaluation or {}).get(key), found
            shown = "-" if own is None else f"{own:.4f}"
            shown_deviation = f"{deviation:.4f}" if count > 1 else "-"
            lines.append(f"| {name} | {shown} | {mean:.4f} | {shown_deviation} | {count} |")
    images, data = results[0].get("images", "unknown"), results[0].get("data", "unknown")
    return [*lines, "", f"Test images: {text(images)}, of {text(data)}; top-1 and top-5 are fractions of them."]


def _costs(shipped: Shipped) -> list[str]:
    macs, params = shipped.costs["macs"], shipped.costs["params"]
    lines = [f"{macs:,} multiply-adds an image (which papers call FLOPs), {params:,} parameters."]
    own = shipped.subject.own_evaluation or {}
    timed = {
        key: f"{value:.4g}" if isinstance(value, float) else value
        for key, value in own.items()
        if "latency" in key or "throughput" in key
    }
    return [*lines, *([_listed(timed, "")] if timed else [])]


def _data(shipped: Shipped) -> list[str]:
    described = shipped.subject.described
    shown = described.class_names[:SHOWN_CLASSES]
    rest = len(described.class_names) - len(shown)
    names = ", ".join(text(name) for name in shown) + (f" and {rest} more (see config.json)" if rest else "")
    return [f"Data: {text(described.data) or 'none'}.", "", f"Classes, in the order of the logits: {names}."]


def _listed(values: Mapping[str, Any], otherwise: str) -> str:
    flat = list(_flat(values))
    return "\n".join(f"- {text(key)}: {text(value)}" for key, value in flat) or otherwise


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value not in ("", None):
            yield f"{prefix}{key}", value


def _checked(shipped: Shipped) -> list[str]:
    lines = [
        f"- {name}: logits differ by {found['absolute']:.2g} at most, {found['relative']:.2g} of the largest logit"
        for name, found in shipped.checks.items()
    ]
    return ["Compared with the network in training form, on random images:", "", *lines]
