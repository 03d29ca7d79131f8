import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evospace.deploy.onnx_file import require_onnx, write_onnx
from evospace.errors import UsageError
from evospace.ops.kinds import KINDS
from evospace.ops.user import load_ops_file
from tests.deploy.networks import SHIPPED, described_of, shipped_of, subject_of

KINDS_TOGETHER = [
    *([["mbconv_k3_e1_se"], ["shufflev2_k3_e1"], ["attention_k3_e1"]]),
    *([["repvgg_k3", "avgpool_k3"], ["mbconv_eca_k3_e1"], ["convnextv2_k5_e2"], ["fasternet_k3_e1"]]),
]
LEN = """
import evospace
from torch import nn

class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1).reshape(x.shape[1:].numel() and (len(x), *x.shape[1:]))

@evospace.operation(kernel=(3,))
def fixed(spec, shape):
    return nn.Sequential(nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1), Fixed())
"""


def needed() -> Any:
    """The package onnx, where the exporter's packages are there."""
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    return pytest.importorskip("onnx")


def test_one_file_agrees_at_batches_of_1_2_and_7(tmp_path: Path) -> None:
    onnx = needed()
    shipped, images, wanted = shipped_of(subject_of(described_of(KINDS_TOGETHER)), fold_bn=True)
    found = write_onnx(tmp_path, shipped, images, wanted)
    assert list(found) == [f"onnxruntime, batch {n}" for n in (1, 2, 7)]
    assert all(apart.relative < 1e-4 for apart in found.values())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = onnx.load(tmp_path / "model.onnx")
    stored = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert stored["class_names"] == [f"class {i}" for i in range(5)]
    assert (stored["mean"], stored["trained"]) == ([0.5] * 3, True)
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("images", "logits")
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 3, 8, 8]


def test_a_batch_size_that_is_fixed_by_len_is_told(tmp_path: Path) -> None:
    needed()
    (tmp_path / "my_ops.py").write_text(LEN)
    load_ops_file(tmp_path / "my_ops.py")
    try:
        shipped, images, wanted = shipped_of(subject_of(described_of([["fixed_k3"]])))
        with pytest.raises(UsageError, match=r"batch of 1 .*images\.shape\[0\], not len\(images\)") as error:
            write_onnx(tmp_path, shipped, images, wanted)
        assert "\n" not in str(error.value)
    finally:
        KINDS.remove("fixed")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    needed()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs {package}: pip install onnx onnxscript onnxruntime"):
        require_onnx()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_every_kind(name: str, tmp_path: Path) -> None:
    needed()
    shipped, images, wanted = shipped_of(subject_of(described_of([[name]])))
    assert write_onnx(tmp_path, shipped, images, wanted)
