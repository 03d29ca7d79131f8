"""A data set whose test images are some of its training images: for choosing defaults without the test split.

Writes the four idx files of Fashion-MNIST's form to a folder: as test images 10,000 of Fashion-MNIST's training
images, or 360 of those of digits, drawn with seed 0, and as training images the others (or the first `--train-images`
of them). A study on them tells which settings to prefer, and the real test images stay unseen:
    python benchmarks/held_out.py DIR --data digits
    evospace study ablation --data digits --data-dir DIR ...
"""

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np

from evospace.data.datasets import READERS

HELD_OUT, SEED = {"digits": 360, "fashion-mnist": 10_000}, 0
IMAGES, LABELS = 2051, 2049
"""First words of idx files: bytes in 3 dimensions, and in 1."""


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--data", choices=list(HELD_OUT), default="fashion-mnist")
    parser.add_argument(
        "--source", type=Path, help="where the data set lies; else where EvoSpace finds or downloads it"
    )
    parser.add_argument("--train-images", type=int, help="at most so many")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    images, labels = READERS[args.data](args.source).train
    order, held_out = np.random.default_rng(SEED).permutation(len(labels)), HELD_OUT[args.data]
    for prefix, rows in (("train", order[:-held_out][: args.train_images]), ("t10k", order[-held_out:])):
        pixels = images[rows, 0].numpy()
        pairs = (("images-idx3", IMAGES, pixels), ("labels-idx1", LABELS, labels[rows].numpy().astype(np.uint8)))
        for name, magic, values in pairs:
            head = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
            write(args.out / f"{prefix}-{name}-ubyte.gz", head + values.tobytes())


def write(path: Path, data: bytes) -> None:
    """One compressed file, the same bytes every time."""
    path.write_bytes(gzip.compress(data, compresslevel=1, mtime=0))


if __name__ == "__main__":
    main()
