"""Reader for gzipped IDX files, the format of the MNIST family."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evospace.errors import DataError

_UNSIGNED_BYTE = 8
LARGEST = 1 << 30
"""Values of a file; the largest of the MNIST family have 50 million."""


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The uint8 tensor in the gzipped IDX file `path`, which must have `dimensions` dimensions.

    Raises:
        DataError: the file cannot be read, or its header is wrong or does not fit its length.
    """
    size = 4 + 4 * dimensions
    try:
        with gzip.open(path) as file:
            header = file.read(size)
            if header[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]) or len(header) < size:
                raise DataError(f"{path} is no IDX file of bytes in {dimensions} dimensions; get the file again")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            if math.prod(shape) > LARGEST:
                raise DataError(
                    f"{path} claims {math.prod(shape)} values, at most {LARGEST} are read; get the file again"
                )
            values = file.read(math.prod(shape) + 1)  # a small file may unpack to any size
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; get the file again") from None
    if len(values) != math.prod(shape):
        found = f"more than {math.prod(shape)}" if len(values) > math.prod(shape) else len(values)
        raise DataError(f"{path} should hold {math.prod(shape)} values, has {found}; get the file again")
    return torch.from_numpy(np.frombuffer(values, np.uint8).reshape(shape).copy())
