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


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The uint8 tensor in the gzipped IDX file `path`, which must have `dimensions` dimensions.

    Raises:
        DataError: the file cannot be read, or its header is wrong or does not fit its length.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; get the file again") from None
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]) or len(content) < header:
        raise DataError(f"{path} is no IDX file of bytes in {dimensions} dimensions; get the file again")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        found = len(content) - header
        raise DataError(f"{path} should hold {math.prod(shape)} values, has {found}; get the file again")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())
