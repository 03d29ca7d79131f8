from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evospace.training import depthwise
from evospace.training.depthwise import DepthwiseConv2d, fast_depthwise, weight_gradient

dilated = depthwise._dilated


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, tuple[int, int, int, int]]:
    kernel = draw(st.tuples(*[st.sampled_from((1, 2, 3, 5, 7))] * 2))
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = [draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True)]
    channels = draw(st.integers(2, 4))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    conv = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)  # type: ignore[arg-type]
    return conv, (draw(st.integers(1, 3)), channels, size[0], size[1])


@settings(deadline=None, max_examples=200)
@given(convolutions())
def test_the_gradient_is_autograds(case: tuple[nn.Conv2d, tuple[int, int, int, int]]) -> None:
    conv, shape = case
    images = torch.randn(shape, dtype=torch.float64)
    output = conv.double()(images)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, conv.weight, gradient)
    pairs = [(int(p[0]), int(p[1])) for p in (conv.stride, conv.padding)]
    found = weight_gradient(images, gradient, conv.weight.shape[2:], *pairs)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("kernel", "padding", "stride"), [(2, 1, 2), (4, 3, 1), ((3, 4), (2, 3), 2)])
def test_even_kernels_are_left_to_pytorch(kernel: Any, padding: Any, stride: int) -> None:
    plain = nn.Conv2d(2, 2, kernel, stride, padding, dilation=2, groups=2, bias=False)
    fast = nn.Sequential(nn.Conv2d(2, 2, kernel, stride, padding, dilation=2, groups=2, bias=False))
    fast[0].load_state_dict(plain.state_dict())
    fast_depthwise(fast)
    images = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(fast(images), plain(images))


@settings(deadline=None, max_examples=100)
@given(
    kernel=st.tuples(*[st.sampled_from((1, 3, 5))] * 2),
    dilation=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    size=st.tuples(*[st.integers(1, 9)] * 2),
)
def test_a_dilated_convolution_is_pytorchs_with_its_gradients(
    kernel: tuple[int, int], dilation: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2, "bias": False}
    plain = nn.Conv2d(2, 2, kernel, **settings)  # type: ignore[arg-type]
    fast = nn.Sequential(nn.Conv2d(2, 2, kernel, **settings))  # type: ignore[arg-type]
    fast[0].load_state_dict(plain.state_dict())
    fast_depthwise(fast)
    inputs = [torch.randn(3, 2, *size).requires_grad_()]
    inputs.append(inputs[0].detach().clone().requires_grad_())
    outputs = [net(x) for net, x in zip((plain, fast), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    weights = torch.randn_like(outputs[0])
    for output in outputs:
        (output * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(fast[0].weight.grad, plain.weight.grad)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many weight gradients were computed here."""
    counted: list[int] = []

    def counting(*args: object) -> torch.Tensor:
        counted.append(1)
        return weight_gradient(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(depthwise, "weight_gradient", counting)
    return counted


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False),
        nn.Conv2d(4, 4, 7, padding=3, groups=4, bias=False),
        nn.Conv2d(4, 4, (1, 5), stride=2, padding=(0, 2), groups=4, bias=False),
        nn.Conv2d(4, 4, 7, padding=3, groups=4),
        nn.Conv2d(4, 4, 7, padding=3, groups=2, bias=False),
    )


def test_a_changed_module_trains_as_before(calls: list[int]) -> None:
    plain, fast = layers(), layers()
    fast_depthwise(fast)
    assert [type(layer) is DepthwiseConv2d for layer in fast] == [False, True, True, False, False]
    assert list(fast.state_dict()) == list(plain.state_dict())
    images = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    outputs = [net(x) for net, x in zip((plain, fast), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    assert len(calls) == 2
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("side", [7, 17])
def test_where_onednn_is_fast_it_stays(side: int, calls: list[int]) -> None:
    """A filter that is no larger than the image, and a large image."""
    net = layers()[1:3]
    fast_depthwise(net)
    net(torch.randn(1, 4, side, side, requires_grad=True)).sum().backward()
    assert not calls


@pytest.mark.parametrize(("side", "stride", "expected"), [(4, 1, True), (5, 1, False), (14, 1, False), (14, 2, True)])
def test_what_onednn_is_slow_with_is_not_dilated(
    side: int, stride: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that reaches over 5 pixels."""
    net = nn.Sequential(nn.Conv2d(2, 2, 3, stride=stride, padding=2, dilation=2, groups=2, bias=False))
    fast_depthwise(net)
    folded: list[torch.Tensor] = []

    def watched(images: torch.Tensor, weight: torch.Tensor, dilation: tuple[int, int]) -> torch.Tensor:
        folded.append(images)
        return dilated(images, weight, dilation)

    monkeypatch.setattr(depthwise, "_dilated", watched)
    net(torch.randn(1, 2, side, side)).sum().backward()
    assert bool(folded) is expected


def test_nothing_changes_without_gradient_or_under_autocast(calls: list[int]) -> None:
    net = layers()[1]
    fast_depthwise(net)
    images = torch.randn(1, 4, 4, 4, requires_grad=True)
    with torch.no_grad():
        assert net(images).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        net(images).sum().backward()
    net.weight.requires_grad_(False)
    net(images).sum().backward()
    assert not calls
