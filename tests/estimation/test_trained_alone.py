"""How often a network is right, counted over batches of different sizes, in evaluation mode."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from evospace.data.splits import Split
from evospace.estimation.trained_alone import accuracy_of


class Given:
    """Seven images that are their own logits, of three classes: five are right."""

    images = torch.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    labels = torch.tensor([0, 1, 2, 0, 1, 0, 1])

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.images[:4], self.labels[:4]
        yield self.images[4:], self.labels[4:]


class Itself(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        return images


def test_the_accuracy_is_the_fraction_of_all_images_that_are_right() -> None:
    assert accuracy_of(Itself(), cast("Split", Given())) == 5 / 7


def test_a_network_that_gives_no_numbers_has_no_accuracy() -> None:
    class Overflows(Itself):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * torch.tensor([1.0, float("nan"), 1.0])

    assert accuracy_of(Overflows(), cast("Split", Given())) == "not finite"
