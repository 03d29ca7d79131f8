import math
from collections.abc import Callable
from typing import Any, Optional

import pytest
import torch
from torch import nn

from evospace.deploy.code.edits import renamed, without_annotations
from evospace.deploy.code.imports import import_of, merged
from evospace.deploy.code.layout import Call, literal, nested, render
from evospace.deploy.code.leaves import CannotWriteError, leaf
from evospace.deploy.code.sources import outer_names, with_constructor

LEAVES = [
    (nn.Conv2d(8, 16, 3), "nn.Conv2d(8, 16, 3)"),
    (nn.Conv2d(8, 16, (1, 5), stride=(1, 2), padding=(0, 2), bias=False), None),
    (nn.Conv2d(8, 8, 3, padding="same", groups=8), 'nn.Conv2d(8, 8, 3, padding="same", groups=8)'),
    (
        nn.ConvTranspose2d(4, 4, 2, stride=2, output_padding=1),
        "nn.ConvTranspose2d(4, 4, 2, stride=2, output_padding=1)",
    ),
    (nn.BatchNorm2d(8, eps=1e-3, affine=False), "nn.BatchNorm2d(8, eps=0.001, affine=False)"),
    (nn.LayerNorm((8,), bias=False), "nn.LayerNorm((8,), bias=False)"),
    (nn.LayerNorm((8, 8)), None),
    (nn.GroupNorm(2, 8), "nn.GroupNorm(2, 8)"),
    (nn.MaxPool2d(3, 2, 1), "nn.MaxPool2d(3, stride=2, padding=1)"),
    (nn.AdaptiveAvgPool2d((1, None)), "nn.AdaptiveAvgPool2d((1, None))"),
    (nn.Upsample(scale_factor=2, mode="bilinear"), None),
    (nn.Linear(3, 4, bias=False), "nn.Linear(3, 4, bias=False)"),
    (nn.Identity(), "nn.Identity()"),
    (nn.PReLU(3, init=0.1), None),
    (nn.Unflatten(1, (2, 4)), "nn.Unflatten(1, (2, 4))"),
    (nn.ZeroPad2d(1), "nn.ZeroPad2d(1)"),
    (nn.Hardswish(inplace=True), "nn.Hardswish(inplace=True)"),
    (nn.GELU(approximate="tanh"), 'nn.GELU(approximate="tanh")'),
    (nn.MultiheadAttention(8, 2, batch_first=True), "nn.MultiheadAttention(8, 2, batch_first=True)"),
]


@pytest.mark.parametrize(("module", "text"), LEAVES, ids=lambda value: type(value).__name__)
def test_a_layer_of_pytorch_is_its_constructor(module: nn.Module, text: str | None) -> None:
    written = render(leaf(module))
    made = eval(written, {"nn": nn, "torch": torch})
    assert repr(made) == repr(module)
    assert [t.shape for t in made.state_dict().values()] == [t.shape for t in module.state_dict().values()]
    assert text is None or written == text


def test_a_layer_that_no_constructor_makes_is_refused() -> None:
    odd = nn.Conv2d(3, 3, 1)
    odd.weight = nn.Parameter(torch.zeros(3, 3, 5, 5))
    with pytest.raises(CannotWriteError, match=r"torch\.nn\.Conv2d has settings"):
        leaf(odd)


@pytest.mark.parametrize(
    "value",
    [1, True, None, -0.5, math.inf, -math.inf, "a\"b'\\\n\0é", (1,), (), [1, (2.5, "x")], {"a": [None]}, {1: ()}],
)
def test_plain_values_are_read_back(value: Any) -> None:
    assert eval(literal(value)) == value
    assert eval(render(nested(value))) == value
    assert literal(value).isascii()


def test_tensors_and_types_are_read_back() -> None:
    for value in (torch.tensor([[0.1, 2.0]]), torch.tensor(True), torch.tensor([1, 2], dtype=torch.int32)):
        assert torch.equal(eval(literal(value), {"torch": torch}), value)
    assert literal(torch.float16) == "torch.float16"
    for bad in (object(), {1, 2}, lambda: 0, torch.zeros(5000), 1j):
        with pytest.raises(TypeError):
            literal(bad)


def test_long_calls_are_broken_and_commented() -> None:
    inner = Call(opening="f(", items=tuple(("", "x" * 20) for _ in range(6)))
    assert render(inner).count("\n") == 7
    short = Call(opening="g(", items=(("a=", "1"), ("b=", "2")), comments=("why", ""))
    assert render(short) == "g(\n    # why\n    a=1,\n    b=2,\n)"
    assert render(Call(opening="h(", items=(("", "1"),))) == "h(1)"


SOURCE = '''class Own(Base):
    """What it is."""

    size = LIMIT

    def __init__(self, a: Foreign) -> None:
        self.a = self._make(a)

    def _make(self, a):
        return helper(a)

    @torch.no_grad()
    def forward(self, x: Foreign | None = None, *rest: int) -> "Foreign":
        # é stays
        y: Foreign = x
        return self._used([LIMIT * n for n in y])

    def _used(self, x): return x
'''


def test_a_constructor_takes_the_place_of_the_old_one_and_of_what_only_that_called() -> None:
    text = with_constructor(SOURCE, "def __init__(self) -> None:\n    pass")
    assert "    def __init__(self) -> None:\n        pass\n\n    @torch.no_grad()" in text
    assert "_make" not in text
    assert set(outer_names(text)) == {"Base", "LIMIT", "torch", "Foreign"}
    assert "__init__" not in with_constructor(SOURCE, "")
    assert with_constructor("class A(B): pass\n", "def __init__(self):\n    ...").startswith(
        "class A(B):\n    def __init"
    )
    bare = "class A(B):\n    def __init__(self):\n        pass\n"
    assert with_constructor(bare, "") == "class A(B):\n    pass\n"


def test_annotations_and_names_are_edited_in_place() -> None:
    text = without_annotations(SOURCE, lambda node: "Foreign" in __import__("ast").unparse(node))
    assert "def forward(self, x = None, *rest: int):" in text
    assert "        # é stays\n        y = x\n" in text
    changed = renamed(text, {"Own": "Own2", "LIMIT": "LIMIT2"})
    assert changed.startswith("class Own2(Base):")
    assert changed.count("LIMIT2") == changed.count("LIMIT") == 2


def test_arguments_and_variables_keep_their_names() -> None:
    text = "def f(x, scale, y=scale):\n    return x / scale\n\n"
    assert renamed(text, {"scale": "scale2"}) == text.replace("y=scale", "y=scale2")
    text = "def g(x):\n    scale = x\n    return [scale for x in (lambda scale: scale)(x)]\n"
    assert renamed(text, {"scale": "scale2"}) == text
    text = "def c(x):\n    names = [scale for scale in x]\n    return scale(names)\n"
    assert renamed(text, {"scale": "scale2"}) == text.replace("scale", "scale2")
    text = "def h(x):\n    return scale((lambda scale: scale)(x))\n"
    assert renamed(text, {"scale": "scale2"}) == text.replace("return scale", "return scale2")


def test_a_name_is_imported_from_where_it_is_at_home() -> None:
    assert import_of(Optional, "Optional") == "from typing import Optional"
    assert import_of(Callable, "Callable") == "from collections.abc import Callable"
    assert import_of(nn.Conv2d, "Conv2d") == "from torch.nn import Conv2d"
    assert import_of(torch.nn.functional.relu, "relu") == "from torch.nn.functional import relu"


def test_imports_are_grouped() -> None:
    lines = ["import torch", "from torch import nn", "import math", "from torch import Tensor", "from os import path"]
    assert merged(lines) == "import math\nfrom os import path\n\nimport torch\nfrom torch import Tensor, nn"
