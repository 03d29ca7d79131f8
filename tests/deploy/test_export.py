import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evospace.deploy.prepare import logits_of, probe_images
from evospace.deploy.settings import ExportSettings
from evospace.deploy.torch_folder import load_written
from evospace.errors import DataError, EvospaceError, MissingOperationError, UsageError
from evospace.export import export
from evospace.networks import find_network
from evospace.ops.kinds import KINDS
from evospace.runs.network_file import load_network, save_description, save_network
from evospace.seeding import derive
from evospace.supernet.network import Network, initialise
from tests.deploy.networks import described_of, save_trained

DESCRIBED = described_of([["mbconv_k3_e1", "repvgg_k3"], ["involution_k3_e1"]])
MINE = """
import evospace
from torch import nn

@evospace.operation(kernel=(3,))
def mine(spec, shape):
    return nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding=1)
"""


def exported(network: str | Path, out: Path, **flags: Any) -> tuple[list[str], dict[str, Any]]:
    return export(ExportSettings(network=str(network), out=str(out), **flags))


def test_a_checkpoint_becomes_a_torch_folder(tmp_path: Path) -> None:
    checkpoint = save_trained(tmp_path / "seed-0" / "last.safetensors", DESCRIBED)
    evaluation = {"format": 1, "weights": "last", "seed": 0, "macs": 1, "params": 1, "images": 10, "data": "digits"}
    evaluation |= {"top1": 0.75, "top5": 1.0, "loss": 0.5, "calibration_error": 0.01}
    (tmp_path / "seed-0" / "last-evaluation.json").write_text(json.dumps(evaluation))
    lines, found = exported(checkpoint, tmp_path / "out", license="MIT", fold_bn=True)
    assert found["files"] == ["README.md", "config.json", "model.safetensors", "network.py"]
    assert set(found["checks"]) == {"merging parallel branches", "folding BatchNorm", "the written file"}
    assert all(check["relative"] < 1e-4 for check in found["checks"].values())
    assert "trained weights" in lines[0]
    assert [line.partition(":")[0] for line in lines[1:4]] == list(found["checks"])
    written, images = load_written(tmp_path / "out"), probe_images((3, 8, 8), 4)
    wanted = logits_of(load_network(checkpoint).build(), images)
    assert torch.allclose(logits_of(written, images), wanted, atol=1e-3, rtol=1e-4)
    card, config = (tmp_path / "out" / "README.md").read_text(), json.loads((tmp_path / "out/config.json").read_text())
    for part in ("| top-1 | 0.7500 |", "- recipe.epochs: 3", "- budget: macs=1M", "MIT"):
        assert part in card
    assert config["trained"]
    assert config["folded_bn"]
    assert config["provenance"]["evaluations"] == [evaluation]
    assert json.dumps(found)


@pytest.mark.parametrize("folder", ["", "net-00", "net-00/seed-0"])
def test_a_folder_of_trained_weights_names_them(folder: str, tmp_path: Path) -> None:
    checkpoint = save_trained(tmp_path / "net-00/seed-0/last.safetensors", DESCRIBED)
    save_description(tmp_path / "net-00/network.json", DESCRIBED)
    with pytest.raises(UsageError, match=f"holds trained weights; name those to export, e.g. {checkpoint}"):
        exported(tmp_path / folder, tmp_path / "out")


def test_where_things_lie_is_not_told(tmp_path: Path) -> None:
    checkpoint = save_trained(tmp_path / "last.safetensors", DESCRIBED)
    stored = load_network(checkpoint)
    secret = {"init": "/home/alice/runs/net-00/last.safetensors", "place": "abc", "search": {"out": "/home/alice/run"}}
    described = replace(stored.described, name="/home/alice/runs/mine#1", data="/home/alice/images")
    save_network(checkpoint, replace(stored, described=described, training={**stored.training, **secret}))
    exported(checkpoint, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text() + (tmp_path / "out/config.json").read_text()
    assert "alice" not in text
    assert "net-00/last.safetensors" in text
    with pytest.raises(UsageError, match="neither a published network"):
        exported("a" * 300, tmp_path / "other")


def test_a_description_gets_fresh_weights_and_says_so(tmp_path: Path) -> None:
    save_description(tmp_path / "network.json", DESCRIBED)
    lines, found = exported(tmp_path / "network.json", tmp_path / "out", seed=3)
    assert "FRESH WEIGHTS" in lines[0]
    assert not found["trained"]
    assert "fresh random ones" in (tmp_path / "out" / "README.md").read_text()
    network = Network(DESCRIBED.skeleton, DESCRIBED.architecture, DESCRIBED.classes)
    initialise(network, torch.Generator().manual_seed(derive(3, "export-weights")))
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(stored["stem.0.weight"], network.state_dict()["stem.0.weight"])
    exported(tmp_path / "network.json", tmp_path / "out", seed=4)
    assert not torch.equal(stored["stem.0.weight"], load_file(tmp_path / "out/model.safetensors")["stem.0.weight"])


@pytest.mark.parametrize("fold_bn", [False, True])
def test_a_timm_folder_is_loaded_by_timm(tmp_path: Path, fold_bn: bool) -> None:
    timm = pytest.importorskip("timm")
    checkpoint = save_trained(tmp_path / "last.safetensors", DESCRIBED)
    _, found = exported(checkpoint, tmp_path / "out", to="timm", fold_bn=fold_bn)
    assert found["files"] == ["README.md", "config.json", "model.safetensors"]
    model: Any = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    images = probe_images((3, 8, 8))
    wanted = logits_of(load_network(checkpoint).build(), images)
    assert torch.allclose(logits_of(model, images), wanted, atol=1e-3, rtol=1e-4)
    assert model.pretrained_cfg["label_names"] == [f"class {i}" for i in range(5)]
    assert model.pretrained_cfg["mean"] == [0.5] * 3
    data = timm.data.resolve_model_data_config(model)
    assert (data["crop_pct"], data["interpolation"], tuple(data["input_size"])) == (0.875, "bilinear", (3, 8, 8))
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert (config["resize"], config["interpolation"]) == (9, "bilinear")
    assert (
        "shorter side to 9 pixels (bilinear) and cut out the middle 8 x 8" in (tmp_path / "out/README.md").read_text()
    )
    tuned: Any = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=2, in_chans=1)
    assert torch.equal(tuned.blocks[0].state_dict()["ops.repvgg_k3.0.weight"], model.state_dict()[
        "blocks.0.ops.repvgg_k3.0.weight"])  # fmt: skip
    assert tuned(images[:, :1]).shape == (2, 2)
    features = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, features_only=True)
    assert len(features(images)) == 3


def test_a_users_operation_needs_its_file(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    (tmp_path / "my_ops.py").write_text(MINE)
    ops = str(tmp_path / "my_ops.py")
    try:
        from evospace.ops.user import load_ops

        load_ops(ops)
        save_description(tmp_path / "network.json", described_of([["mine_k3"]]))
        KINDS.remove("mine")
        with pytest.raises(MissingOperationError, match="give its file with --ops"):
            exported(tmp_path / "network.json", tmp_path / "out")
        assert exported(tmp_path / "network.json", tmp_path / "out", ops=ops)
        _, found = exported(tmp_path / "network.json", tmp_path / "out", ops=ops, to="timm")
        assert found["files"] == ["README.md", "config.json", "model.safetensors"]
        assert "load_ops_file" in (tmp_path / "out" / "README.md").read_text()
    finally:
        if "mine" in KINDS:
            KINDS.remove("mine")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("last.safetensors", b"", DataError),
        ("last.safetensors", b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.", DataError),
        ("last.safetensors", (8).to_bytes(8, "little") + b"{}      ", DataError),
        ("network.json", b"{", DataError),
        ("network.json", b"[" * 100_000, DataError),
        ("nothing", None, UsageError),
    ],
)
def test_bad_networks_are_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, error: type[EvospaceError]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        exported(tmp_path / name, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sizes_that_make_no_network(tmp_path: Path) -> None:
    for ops in ("conv_k99999_e99999", "conv_k3_e9999"):
        save_description(tmp_path / "network.json", described_of([[ops]]))
        with pytest.raises(DataError, match=r"make no network|more than 2,000,000,000 parameters"):
            exported(tmp_path / "network.json", tmp_path / "out")


def test_flags_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a network"):
        exported("", tmp_path)
    with pytest.raises(UsageError, match="needs --out"):
        export(ExportSettings(network="nsenet"))
    with pytest.raises(UsageError, match="--seed -1"):
        ExportSettings(network="nsenet", out="x", seed=-1)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="something else"):
        exported("nsenet", tmp_path)


def test_nothing_is_left_where_an_export_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_description(tmp_path / "network.json", DESCRIBED)

    def wrong(folder: Path, *_: Any) -> Any:
        (folder / "network.py").touch()
        raise UsageError("the logits differ")

    monkeypatch.setitem(__import__("evospace.export").export.WRITERS, "torch", wrong)
    with pytest.raises(UsageError, match="differ"):
        exported(tmp_path / "network.json", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["network.json"]


@pytest.mark.slow
@pytest.mark.parametrize(("to", "fold_bn"), [("torch", False), ("torch", True), ("onnx", False), ("timm", False)])
@pytest.mark.parametrize("name", ["nsenet-27", "nsenet", "nsenet-gpu"])
def test_published_networks_at_224_pixels(tmp_path: Path, name: str, to: Any, fold_bn: bool) -> None:
    for package in {"onnx": ("onnxruntime", "onnxscript"), "timm": ("timm",)}.get(to, ()):
        pytest.importorskip(package)
    assert find_network(name).described.input_shape == (3, 224, 224)
    lines, found = exported(name, tmp_path / "out", to=to, fold_bn=fold_bn)
    assert "FRESH WEIGHTS" in lines[0]
    assert all(check["relative"] < 1e-4 for check in found["checks"].values())
