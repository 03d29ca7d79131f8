"""Fashion-MNIST whose test images are 10,000 of the training images: for choosing defaults without the test split.

Writes the four files of the data set to a folder: 50,000 training images, and as test images the 10,000 others, drawn
with seed 0. A study on them tells which settings to prefer, and the real test images stay unseen:
    python benchmarks/held_out_fashion.py DIR [SOURCE]
    evospace study ablation --data fashion-mnist --data-dir DIR ...
SOURCE is where Fashion-MNIST lies, else where EvoSpace finds it or downloads it to.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

from evospace.data.datasets import fashion_mnist

HELD_OUT, SEED = 10_000, 0
IMAGES, LABELS = 2051, 2049
"""First words of idx files: bytes in 3 dimensions, and in 1."""


def main() -> None:
    """Write the files."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/held_out_fashion.py DIR [SOURCE]")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    images, labels = fashion_mnist(Path(sys.argv[2]) if len(sys.argv) == 3 else None).train
    order = np.random.default_rng(SEED).permutation(len(labels))
    for prefix, rows in (("train", order[:-HELD_OUT]), ("t10k", order[-HELD_OUT:])):
        pixels = images[rows, 0].numpy()
        write(out / f"{prefix}-images-idx3-ubyte.gz", struct.pack(">4I", IMAGES, *pixels.shape) + pixels.tobytes())
        classes = labels[rows].numpy().astype(np.uint8)
        write(out / f"{prefix}-labels-idx1-ubyte.gz", struct.pack(">2I", LABELS, len(classes)) + classes.tobytes())


def write(path: Path, data: bytes) -> None:
    """One compressed file, the same bytes every time."""
    path.write_bytes(gzip.compress(data, compresslevel=1, mtime=0))


if __name__ == "__main__":
    main()
