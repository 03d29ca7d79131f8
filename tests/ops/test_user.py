import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evospace.cost.count import count_op
from evospace.errors import DataError, MissingOperationError, UsageError
from evospace.ops.build import build_op
from evospace.ops.kinds import KINDS, loading
from evospace.ops.pools import pool_with
from evospace.ops.spec import BlockShape, OpSpec
from evospace.ops.user import load_ops, load_ops_file, require_source
from evospace.testing import check_operation

SOURCE = """
from torch import nn

import evospace


@evospace.operation(kernel=(3, 5))
def tryout(spec, shape):
    return nn.Conv2d(
        shape.in_channels, shape.out_channels, spec.kernel, stride=shape.stride, padding=spec.kernel // 2
    )


@evospace.operation()
class Pointwise(nn.Module):
    def __init__(self, spec, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 1, stride=shape.stride)

    def forward(self, images):
        return self.conv(images)
"""

FAILS_IN_TRAINING = """
from torch import nn

import evospace


class Convolution(nn.Conv2d):
    def __init__(self, *sizes, output, **settings):
        super().__init__(*sizes, **settings)
        self.output = output

    def forward(self, images):
        output = super().forward(images)
        return self.output(output) if self.training else output


def in_place(images):
    return images.sigmoid().mul_(2) + images.exp().add_(1)


@evospace.operation()
"""
SIZES = "shape.in_channels, shape.out_channels, 1, stride=shape.stride"


@pytest.fixture(autouse=True)
def _no_kind_stays() -> Iterator[None]:
    before = set(KINDS)
    yield
    for kind in set(KINDS) - before:
        KINDS.remove(kind)
    assert not loading


@pytest.fixture
def ops_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_ops.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_functions_and_classes_are_registered_with_the_files_hash(ops_file: Path) -> None:
    assert load_ops_file(ops_file) == ("tryout", "pointwise")
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    assert KINDS["tryout"].source_sha256 == KINDS["pointwise"].source_sha256 == digest
    assert [spec.name for spec in KINDS["tryout"].specs] == ["tryout_k3", "tryout_k5"]
    assert KINDS["mbconv"].source_sha256 is None


def test_user_operations_are_built_and_keep_the_contract(ops_file: Path) -> None:
    kinds = load_ops_file(ops_file)
    for spec in pool_with("latency19", kinds)[19:]:
        check_operation(spec)
    shape = BlockShape(in_channels=3, out_channels=5, stride=2, resolution=9)
    module = build_op(OpSpec.parse("pointwise"), shape)
    assert module(torch.zeros(1, 3, 9, 9)).shape == (1, 5, 5, 5)


def test_loading_twice_registers_once(ops_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.py"
    copy.write_text(SOURCE, encoding="utf-8")
    assert load_ops_file(ops_file) == load_ops_file(ops_file) == load_ops_file(copy)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
        ("import not_a_module_at_all", "not_a_module_at_all"),
        ("x = 1", "registers no operation"),
        (SOURCE + "\n1 / 0", "ZeroDivisionError"),
        (SOURCE.replace("def tryout", "def mbconv"), "taken already"),
        (SOURCE.replace("def tryout", "def odd_k3"), "odd_k3"),
    ],
)
def test_a_broken_file_is_a_usage_error_and_leaves_nothing(tmp_path: Path, source: str, text: str) -> None:
    path = tmp_path / "my_ops.py"
    path.write_text(source, encoding="utf-8")
    before = dict(KINDS)
    for _ in range(2):
        with pytest.raises(UsageError, match=text) as caught:
            load_ops_file(path)
        assert str(path) in str(caught.value)
    assert dict(KINDS) == before


def test_what_runs_is_what_was_read_whatever_python_has_cached(ops_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    load_ops_file(ops_file)
    assert [entry.name for entry in ops_file.parent.iterdir()] == ["my_ops.py"]
    times = ops_file.stat()
    ops_file.write_text(SOURCE.replace("(3, 5)", "(3, 7)"), encoding="utf-8")
    os.utime(ops_file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps its time, of the same size
    load_ops_file(ops_file)
    assert [spec.kernel for spec in KINDS["tryout"].specs] == [3, 7]
    KINDS.remove("tryout")
    assert load_ops(f"{ops_file}, {ops_file} ,") == ("pointwise", "pointwise")


def test_a_missing_file_or_another_kind_of_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_ops_file(tmp_path / "missing.py")
    text = tmp_path / "my_ops.txt"
    text.write_text(SOURCE, encoding="utf-8")
    with pytest.raises(UsageError, match=r"\.py"):
        load_ops_file(text)


def test_a_stored_operation_needs_its_own_source(ops_file: Path) -> None:
    require_source("mbconv", None)
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    with pytest.raises(MissingOperationError, match="--ops"):
        require_source("tryout", digest)
    load_ops_file(str(ops_file))
    require_source("tryout", digest)
    with pytest.raises(DataError, match="not the one stored"):
        require_source("tryout", "0" * 64)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return nn.Identity()", "gives (1, 8, 6, 6)"),
        ("return None", "returns None; return a torch.nn.Module"),
        ("raise KeyError('oops')", "KeyError: 'oops'"),
        ("return nn.Linear(3, 4)", "RuntimeError: "),
        (f"return Convolution({SIZES}, output=lambda x: x.flatten())", "in training: gives (216,); use shape."),
        (f"return Convolution({SIZES}, output=lambda x: 1 / 0)", "in training: ZeroDivisionError: division by zero"),
        ("return nn.Conv2d(8, 12, 1, stride=2).requires_grad_(False)", "parameter weight is not trainable; register"),
        ("return nn.Sequential(nn.Conv2d(8, 12, 1, 2), nn.BatchNorm2d(12, track_running_stats=False))", "1 keeps no"),
        ("return nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 12, 1, 2))", "changes its input in place, which"),
        (f"return Convolution({SIZES}, output=in_place)", "in training: RuntimeError: one of the variables needed for"),
    ],
)
def test_an_operation_that_breaks_the_contract_is_named_before_anything_is_made(
    body: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "ops.py"
    path.write_text(f"{FAILS_IN_TRAINING}def broken(spec, shape):\n    {body}\n", encoding="utf-8")
    load_ops_file(path)
    shape = BlockShape(in_channels=8, out_channels=12, stride=2, resolution=6)
    with pytest.raises(UsageError) as raised:
        count_op(OpSpec(kind="broken"), shape)
    assert "operation broken, of a file of --ops, for (1, 8, 6, 6) -> (1, 12, 3, 3) at stride 2" in str(raised.value)
    assert text in str(raised.value)


def test_a_file_that_ends_the_program_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ops.py"
    path.write_text("raise SystemExit(5)\n", encoding="utf-8")
    with pytest.raises(UsageError, match="SystemExit: 5"):
        load_ops_file(path)


def test_what_is_registered_once_more_from_the_same_place_takes_the_earlier_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seen_twice.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("seen_twice")
    assert KINDS["tryout"].source_sha256 is None
    assert load_ops_file(path) == ("tryout", "pointwise")  # imported, and named to a search
    shape = BlockShape(in_channels=8, out_channels=8, stride=1, resolution=6)
    before = count_op(OpSpec(kind="tryout", kernel=3), shape)
    path.write_text(SOURCE.replace("spec.kernel,", "5,").replace("spec.kernel // 2", "2"), encoding="utf-8")
    load_ops_file(path)  # edited since
    assert count_op(OpSpec(kind="tryout", kernel=3), shape)["params"] > before["params"]
    other = tmp_path / "twice.py"
    other.write_text(SOURCE.replace("tryout", "twin") + SOURCE.replace("tryout", "twin"), encoding="utf-8")
    KINDS.remove("pointwise")
    with pytest.raises(UsageError, match="name 'twin' is taken already"):
        load_ops_file(other)
    other = tmp_path / "other.py"
    other.write_text(SOURCE, encoding="utf-8")
    with pytest.raises(UsageError, match="name 'tryout' is taken already"):
        load_ops_file(other)
