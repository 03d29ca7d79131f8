"""Operations of a user's own file become readable code, or one clear line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evospace.cost.network_cost import count_network
from evospace.deploy.subject import costs_of
from evospace.deploy.torch_folder import torch_source, write_torch
from evospace.errors import UsageError
from evospace.ops.kinds import KINDS
from evospace.ops.user import load_ops_file
from tests.deploy.networks import described_of, shipped_of, subject_of

HEAD = """
from __future__ import annotations
import math
import collections
from functools import partial, wraps
from typing import TYPE_CHECKING
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
import evospace
from evospace.ops.spec import BlockShape, OpSpec
if TYPE_CHECKING:
    from somewhere import Unknown
SLOPE = 0.25
TABLE = np.ones(3)

def widen(channels):
    return nn.Identity()
"""
FINE = """
def squash(x: torch.Tensor, shape: BlockShape | None = None) -> torch.Tensor:
    return F.leaky_relu(x, SLOPE) / math.sqrt(2)


class Base(nn.Module):
    def squashed(self, x: Unknown) -> torch.Tensor:
        # what both do
        return squash(x)


class Block(Base):
    '''A user's class that is called as one of ours.'''

    scale = 2.0

    def __init__(self, spec: OpSpec, shape: BlockShape) -> None:
        super().__init__()
        self.names = ["a", ("b", None)]
        self.table = {"x": 1.5, "inf": float("inf")}
        self._build(spec, shape)
        self.gain = nn.Parameter(torch.full((shape.out_channels, 1, 1), 0.7))
        self.register_buffer("seen", torch.tensor(3))
        self.register_buffer("taps", torch.tensor([0.5, 1.5]), persistent=False)
        self.register_parameter("nothing", None)

    def _build(self, spec, shape):
        layers = collections.OrderedDict(conv=nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1))
        layers["norm"] = nn.GroupNorm(4, shape.out_channels)
        self.layers = nn.Sequential(layers)
        self.skip = widen(3) if shape.keeps_shape else None
        self.listed = nn.ModuleList([nn.PReLU(shape.out_channels), nn.Dropout(0.3), nn.Upsample(scale_factor=1.0)])

    @property
    def tap(self):
        return self.taps.sum()

    @staticmethod
    def twice(x):
        return x * 2

    def forward(self, x):
        y = self.layers(x)
        if self.skip is not None:
            y = y + self.skip(x)
        for layer in self.listed:
            y = layer(y)
        return self.twice(self.squashed(y)) * self.gain * self.tap * self.scale + self.seen


class Stack(nn.Sequential):
    def __init__(self, width, *layers):
        super().__init__(*layers)
        self.width = width

    def forward(self, x):
        return super().forward(x) * self.width


class Plain(nn.Module):
    def forward(self, x): return x


@evospace.operation(kernel=(3,))
def mine(spec, shape):
    return Stack(0.5, Block(spec, shape), Plain(), nn.BatchNorm2d(shape.out_channels))


def local(shape, factor):
    class Times(nn.Module):
        def forward(self, x):
            return x * factor
    return Times()


@evospace.operation(kernel=(3,))
def around(spec, shape):
    conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, stride=shape.stride, padding="same" if shape.stride == 1
                     else 1, padding_mode="reflect" if shape.stride == 1 else "zeros")
    return nn.Sequential(conv, local(shape, 3.0), local(shape, 0.25))


@evospace.operation(kernel=(3,))
class direct(nn.Module):
    def __init__(self, spec, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, spec.kernel, shape.stride, 1)

    def forward(self, x):
        return self.conv(x)
"""
NESTED = """
class Inner(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1)
        self.size = self.table()

    def table(self):
        return 2

    def forward(self, x):
        return self.conv(x)


class Outer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.inner = Inner(shape)

    def forward(self, x):
        return self.inner(x) * self.inner.table()


@evospace.operation(kernel=(3,))
def nested(spec, shape):
    return Outer(shape)
"""
CLASH = """
class Network(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1)

    def forward(self, x):
        def mean_of(y):
            return y + 1
        return mean_of(self.conv(x))


@evospace.operation(kernel=(3,))
def clash(spec, shape):
    return Network(shape)
"""
BODY = """
class Odd(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1)
        {init}

    def forward(self, x):
        return {forward}

class Conv(nn.Conv2d):
    pass

@evospace.operation(kernel=(3,))
def odd(spec, shape):
    return {made}
"""


@pytest.fixture(autouse=True)
def _clean_kinds() -> Iterator[None]:
    before = set(KINDS)
    yield
    for name in set(KINDS) - before:
        KINDS.remove(name)


def test_a_users_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "my_ops.py").write_text(HEAD + FINE)
    load_ops_file(tmp_path / "my_ops.py")
    described = described_of([["mine_k3", "around_k3"], ["direct_k3", "basic_k3"]])
    shipped, images, wanted = shipped_of(subject_of(described))
    (found,) = write_torch(tmp_path, shipped, images, wanted).values()
    assert found.relative < 1e-6
    text = (tmp_path / "network.py").read_text()
    for part in (
        "class Block2(Base):",
        "SLOPE = 0.25",
        "import math",
        "# what both do",
        "scale = 2.0",
        "class direct(",
    ):
        assert part in text
    assert "    def __init__(\n        self,\n        *,\n" in text
    for part in ("evospace", "BlockShape", "_build", "numpy", "widen", "Unknown"):
        assert part not in text


def test_a_method_that_another_class_calls_is_written(tmp_path: Path) -> None:
    (tmp_path / "my_ops.py").write_text(HEAD + NESTED)
    load_ops_file(tmp_path / "my_ops.py")
    shipped, images, wanted = shipped_of(subject_of(described_of([["nested_k3"]])))
    assert write_torch(tmp_path, shipped, images, wanted)
    assert "def table(self):" in (tmp_path / "network.py").read_text()


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    (tmp_path / "my_ops.py").write_text(HEAD + CLASH)
    load_ops_file(tmp_path / "my_ops.py")
    shipped, images, wanted = shipped_of(subject_of(described_of([["clash_k3"]])))
    assert write_torch(tmp_path, shipped, images, wanted)
    assert "class Network2(nn.Module):" in (tmp_path / "network.py").read_text()


@pytest.mark.parametrize(
    ("init", "forward", "made", "words"),
    [
        (
            "pass",
            "self.conv(x)",
            "Conv(shape.in_channels, shape.out_channels, 3, shape.stride, 1)",
            "variant of a layer",
        ),
        ("self.f = partial(F.relu)", "self.f(self.conv(x))", "Odd(shape)", "attribute 'f'"),
        ("self.f = lambda y: y", "self.f(self.conv(x))", "Odd(shape)", "attribute 'f'"),
        ("pass", "self.conv(x) * float(np.sum([1]))", "Odd(shape)", "module numpy"),
        ("pass", "self.conv(x) * float(TABLE[0])", "Odd(shape)", "TABLE"),
        ("self.conv.extra = 3", "self.conv(x)", "Odd(shape)", "torch.nn.Conv2d has settings"),
        ("self.add_module('0', nn.ReLU())", "self.conv(x)", "Odd(shape)", "'0'"),
        ("self.register_forward_hook(lambda m, x, y: y)", "self.conv(x)", "Odd(shape)", "hook"),
        ("nn.utils.parametrizations.weight_norm(self.conv)", "self.conv(x)", "Odd(shape)", "odd_k3"),
        ("self.register_buffer('big', torch.ones(9999), persistent=False)", "self.conv(x)", "Odd(shape)", "9999"),
        ("pass", "self.conv(x)", "type('Made', (Odd,), {})(shape)", "source of Made"),
    ],
)
def test_what_has_no_text_is_one_clear_line(tmp_path: Path, init: str, forward: str, made: str, words: str) -> None:
    (tmp_path / "my_ops.py").write_text(HEAD + BODY.format(init=init, forward=forward, made=made))
    load_ops_file(tmp_path / "my_ops.py")
    shipped, _, _ = shipped_of(subject_of(described_of([["odd_k3"]])))
    with pytest.raises(UsageError, match="operation odd_k3 cannot be written as PyTorch code") as error:
        torch_source(shipped)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


HOLDS_A_TENSOR = (
    HEAD
    + """
class Masked(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1)
        self.mask = torch.ones(shape.out_channels, 1, 1)

    def forward(self, x):
        y = self.conv(x) * self.mask
        pixels = y.flatten(2).transpose(1, 2).contiguous()[:, None]
        attended = F.scaled_dot_product_attention(pixels, pixels, pixels)
        return y + attended[:, 0].transpose(1, 2).reshape(y.shape)


@evospace.operation(kernel=(3,))
def masked(spec, shape):
    return Masked(shape)
"""
)


def test_costs_are_those_of_the_search_with_attention_and_a_tensor_that_does_not_move(tmp_path: Path) -> None:
    path = tmp_path / "my_ops.py"
    path.write_text(HOLDS_A_TENSOR)
    load_ops_file(path)
    described = described_of([["masked_k3"]])
    subject = subject_of(described)
    found = costs_of(subject.network, described.input_shape)
    assert found == count_network(described.skeleton, described.architecture, described.classes)
