"""Columns of an HDF5 file that grow row by row.

They are cut into chunks of rows, each with a Fletcher-32 checksum, and compressed (byte
shuffle and LZF) where that is worth its time.
"""

from __future__ import annotations

import zlib
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["CHUNK_ROWS", "create_column"]

CHUNK_ROWS = 16_384
"""Rows of a chunk."""

_PROBE_BYTES = 2**19
_LARGEST_FRACTION = 0.75


def create_column(
    file: h5py.File, name: str, first: NDArray[Any], dtype: DTypeLike
) -> h5py.Dataset:
    """Create a dataset without rows.

    Arguments:
        file: An open file.
        name: Its name.
        first: Its first rows, one chunk or all that there are: they give the width, and
            whether it is compressed.
        dtype: The type of its values in the file.
    """
    width = first.shape[1:]
    packing = {"compression": "lzf", "shuffle": True} if _packs(first.astype(dtype)) else {}
    # HDF5 chunks no array without columns (theta of observed events) unless it may grow.
    return file.create_dataset(
        name,
        shape=(0, *width),
        maxshape=(None, *(columns or None for columns in width)),
        chunks=(CHUNK_ROWS, *(max(1, columns) for columns in width)),
        dtype=dtype,
        fletcher32=True,
        **packing,
    )


def _packs(rows: NDArray[Any]) -> bool:
    """Whether values become much smaller by compression.

    The mantissas of real numbers are noise: of 40 observables LZF saves a tenth, and takes ten
    times as long as to write them. Constants and counts are another matter.
    """
    most = max(1, _PROBE_BYTES // max(1, rows.itemsize * rows[:1].size))
    sample = np.ascontiguousarray(rows[:most])
    planes = sample.reshape(-1).view(np.uint8).reshape(-1, sample.itemsize).T.tobytes()
    return len(zlib.compress(planes, 1)) < _LARGEST_FRACTION * len(planes)
