"""What `evospace.training.depthwise` saves: forward and backward of an operation with it and without, in pairs.

Operations of mobile27 at the shapes of skeleton small8 at 14 pixels, batch 128, one thread. Every pair runs both sides
in turn; the figure is the median of the pairs' ratios, without over with. A ratio of 1 is a shape that is left to
PyTorch.
Run: python benchmarks/depthwise_gradient.py [--json]
"""

import json
import statistics
import sys
import time

import torch
from torch import nn

from evospace.ops.build import build_op
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.skeleton import make_skeleton
from evospace.training.depthwise import fast_depthwise

PAIRS, BATCH = 7, 128
NAMES = ("mbconv_k3_e1", "mbconv_k3_e3_d2", "mbconv_k7_e3", "mbconv_k11_e1", "mbconv_k11_e6")


def seconds(op: nn.Module, images: torch.Tensor) -> float:
    """One forward and backward pass."""
    start = time.process_time()
    op(images).sum().backward()
    return time.process_time() - start


def ratio(name: str, shape: BlockShape) -> float:
    """Median over pairs of plain over changed."""
    size = (BATCH, shape.in_channels, shape.resolution, shape.resolution)
    images = torch.randn(size).contiguous(memory_format=torch.channels_last).requires_grad_()
    plain, fast = (build_op(OpSpec.parse(name), shape).to(memory_format=torch.channels_last) for _ in range(2))
    fast_depthwise(fast)
    seconds(plain, images), seconds(fast, images)
    return statistics.median(seconds(plain, images) / seconds(fast, images) for _ in range(PAIRS))


def main() -> None:
    """Print a row for each shape."""
    torch.set_num_threads(1)
    shapes = dict.fromkeys(make_skeleton("small8", image_size=14, image_channels=1).blocks())
    rows = {f"{s.resolution} px, stride {s.stride}": {name: ratio(name, s) for name in NAMES} for s in shapes}
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows))
        return
    print(f"{'':18}", *(f"{name:>16}" for name in NAMES))
    for shape, found in rows.items():
        print(f"{shape:18}", *(f"{found[name]:16.2f}" for name in NAMES))


if __name__ == "__main__":
    main()
