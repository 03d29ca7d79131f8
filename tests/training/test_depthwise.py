import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evospace.training import depthwise
from evospace.training.depthwise import DepthwiseConv2d, fast_depthwise, weight_gradient


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, tuple[int, int, int, int]]:
    kernel = draw(st.tuples(*[st.sampled_from((1, 2, 3, 5, 7))] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = tuple(draw(st.integers(0, d * (k - 1))) for k, d in zip(kernel, dilation, strict=True))
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 9))
        if d * (k - 1) + 1 - 2 * p <= 9
        else d * (k - 1) + 1 - 2 * p
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    channels = draw(st.integers(2, 4))
    conv = nn.Conv2d(
        channels,
        channels,
        kernel,
        stride=draw(st.tuples(*[st.integers(1, 3)] * 2)),
        padding=padding,  # type: ignore[arg-type]
        dilation=dilation,
        groups=channels,
        bias=False,
    )
    return conv, (draw(st.integers(1, 3)), channels, size[0], size[1])


@settings(deadline=None, max_examples=200)
@given(convolutions())
def test_the_gradient_is_autograds(case: tuple[nn.Conv2d, tuple[int, int, int, int]]) -> None:
    conv, shape = case
    images = torch.randn(shape, dtype=torch.float64)
    output = conv.double()(images)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, conv.weight, gradient)
    pairs = [(int(p[0]), int(p[1])) for p in (conv.stride, conv.padding, conv.dilation)]
    found = weight_gradient(images, gradient, conv.weight.shape[2:], *pairs)
    torch.testing.assert_close(found, expected)


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


@pytest.mark.parametrize(("side", "expected"), [(8, 1), (9, 0)])
def test_a_dilated_filter_is_slow_on_small_images(side: int, expected: int, calls: list[int]) -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 3, padding=2, dilation=2, groups=2, bias=False))
    fast_depthwise(net)
    net(torch.randn(1, 2, side, side)).sum().backward()
    assert len(calls) == expected


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
