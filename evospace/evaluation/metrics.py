"""What a trained network is worth on test images (torchmetrics), and how fast it is (torch.utils.benchmark)."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from evospace.data.splits import Split

BINS = 15
"""Of the calibration error, as Guo et al. (On Calibration of Modern Neural Networks, 2017) have them."""
SECONDS = 1.0
"""Each speed is the median of runs that together take this long."""


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """Of one network on one set of images."""

    __test__ = False  # no test of pytest's

    images: int
    top1: float
    """Fraction of the images whose most probable class is right."""
    top5: float | None
    """Fraction whose class is among the five most probable; `None` with five classes or fewer."""
    loss: float
    """Mean cross-entropy, in nats."""
    calibration_error: float
    """Expected calibration error: mean distance of confidence and accuracy, over `BINS` bins."""
    confusion: Tensor
    """Counts, int64 classes x classes: rows are true classes, columns predicted ones."""


def evaluate_network(network: nn.Module, split: Split, classes: int, batch_size: int) -> TestResult:
    """Run `network`, in eval mode, over all images of `split` once; raises `ValueError` for logits not finite."""
    from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

    network.eval()
    device = next(network.parameters()).device
    top1 = MulticlassAccuracy(classes, average="micro").to(device)
    top5 = MulticlassAccuracy(classes, average="micro", top_k=5).to(device) if classes > 5 else None
    calibration = MulticlassCalibrationError(classes, n_bins=BINS).to(device)
    pairs = list[Tensor]()  # torchmetrics' confusion matrix takes batch x classes^2 numbers of a GPU for each batch
    loss = torch.zeros((), dtype=torch.float64, device=device)
    with torch.inference_mode():
        for images, labels in split.epoch(batch_size):
            logits = network(images).float()
            if not bool(logits.isfinite().all()):
                raise ValueError("gives logits that are not finite; train it again, with a smaller --lr")
            loss += functional.cross_entropy(logits, labels, reduction="sum").double()
            pairs.append((classes * labels + logits.argmax(1)).cpu())
            for metric in (top1, top5):  # of logits: probabilities far below the largest are all the same, 0
                if metric is not None:
                    metric.update(logits, labels)
            calibration.update(logits.softmax(1), labels)
    return TestResult(
        images=len(split),
        top1=float(top1.compute()),
        top5=None if top5 is None else float(top5.compute()),
        loss=float(loss) / len(split),
        calibration_error=float(calibration.compute()),
        confusion=torch.cat(pairs).bincount(minlength=classes**2).view(classes, classes),
    )


def seconds_per_batch(network: nn.Module, image: tuple[int, int, int], batch: int, threads: int) -> float:
    """Median seconds of a forward pass of `batch` images of one shape (channels, height, width)."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of a compiler not used here
    from torch.utils.benchmark import Timer

    device = next(network.parameters()).device
    images = torch.zeros(batch, *image, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        timer = Timer("network(images)", globals={"network": network, "images": images}, num_threads=threads)
        timer.timeit(2)
        return float(timer.blocked_autorange(min_run_time=SECONDS).median)
