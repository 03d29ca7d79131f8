import math

import pytest
import torch
from torch import Tensor, nn

from evospace.data.splits import InMemorySplit
from evospace.evaluation.metrics import evaluate_network, seconds_per_batch


class Fixed(nn.Module):
    """Gives image i, whose every pixel is i, the i-th row of `logits`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        """Logits by the images' pixels."""
        return self.logits[images[:, 0, 0, 0].round().long()]


def split(labels: list[int]) -> InMemorySplit:
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()
    return InMemorySplit(images, torch.tensor(labels), mean=(0.0,), std=(1 / 255,))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_hand_made_case(batch_size: int) -> None:
    probabilities = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.05, 0.85]])
    result = evaluate_network(Fixed(probabilities.log()), split([0, 1, 1, 2]), 3, batch_size)
    assert result.images == 4
    assert result.top1 == pytest.approx(3 / 4)
    assert result.top5 is None
    assert result.loss == pytest.approx(-sum(map(math.log, (0.8, 0.7, 0.3, 0.85))) / 4, rel=1e-5)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    # Bins of 1/15: 0.8 and 0.85 share [0.8, 0.867), or not; each other image is alone in its bin.
    gaps = [abs(1 - 0.7), abs(0 - 0.6)]
    apart = (sum(gaps) + 0.2 + 0.15) / 4
    assert result.calibration_error == pytest.approx(apart, abs=1e-5)


def test_top_five_of_seven_classes() -> None:
    logits = torch.arange(7.0).repeat(7, 1)
    result = evaluate_network(Fixed(logits), split(list(range(7))), 7, 3)
    assert result.top1 == pytest.approx(1 / 7)
    assert result.top5 == pytest.approx(5 / 7)


def test_top_five_where_probabilities_are_too_small_to_be_told_apart() -> None:
    logits = torch.tensor([[-160.0, -150.0, -140.0, -130.0, -120.0, -110.0, 0.0]]).repeat(7, 1)
    assert evaluate_network(Fixed(logits), split(list(range(7))), 7, 3).top5 == pytest.approx(5 / 7)
    logits = torch.tensor([[-50.0, -60.0, -160.0, -170.0, -180.0, -190.0, 100.0]]).repeat(2, 1)
    assert evaluate_network(Fixed(logits), split([3, 5]), 7, 2).top5 == pytest.approx(1 / 2)


def test_the_network_is_in_eval_mode_and_gets_no_gradient() -> None:
    seen: list[bool] = []
    network = Fixed(torch.zeros(2, 3))
    network.register_forward_hook(lambda module, _, output: seen.extend([module.training, output.requires_grad]))
    evaluate_network(network.train(), split([0, 1]), 3, 2)
    assert not any(seen)


def test_a_time_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evospace.evaluation.metrics.SECONDS", 0.01)
    assert seconds_per_batch(nn.Conv2d(1, 1, 3), (1, 8, 8), 2, 1) > 0
