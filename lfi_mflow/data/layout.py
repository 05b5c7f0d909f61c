"""Datasets of an HDF5 file of a known layout, checked as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.damage import explained_file
from lfi_mflow.data.trust import find_plain, plain_dataset, require_memory
from lfi_mflow.errors import FileFormatError

__all__ = ["COPY", "Layout"]

COPY = "write the sample anew with MadMiner, or copy the file again"
"""What to do about a sample that is damaged or incomplete."""


class Layout:
    """Reads the datasets of a sample of MadMiner and checks types and shapes.

    Arguments:
        file: The HDF5 file.
        path: Its name, for the error messages.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path

    def has(self, key: str) -> bool:
        """Whether there is such a dataset."""
        with explained_file(self._path, "a MadMiner sample"):
            return isinstance(find_plain(self._file, key), h5py.Dataset)

    def names(self, key: str) -> tuple[str, ...]:
        """Read names."""
        values = np.ravel(self._read(key))
        with explained_file(self._path, f"names in {key} of the MadMiner sample"):
            return tuple(
                value.decode() if isinstance(value, bytes) else str(value)
                for value in values.tolist()
            )

    def array(self, key: str, shape: tuple[int | None, ...] | None = None) -> NDArray[np.float64]:
        """Read numbers, of a shape in which None is any length."""
        with explained_file(self._path, f"numbers in {key} of the MadMiner sample"):
            array = np.asarray(self._read(key), dtype=np.float64)
        self._check_shape(key, array.shape, shape)
        return array

    def dataset(self, key: str, width: int, *, wider: bool = False) -> h5py.Dataset:
        """Return a dataset of numbers with so many columns, or more, to be read in blocks."""
        dataset = self.find(key)
        enough = wider and dataset.ndim == 2 and dataset.shape[1] >= width
        self._check_shape(key, dataset.shape, (None, None if enough else width))
        if dataset.dtype.kind not in "fiub":
            raise FileFormatError(
                f"numbers in {key} of {self._path}", f"values of type {dataset.dtype}", COPY
            )
        return dataset

    def _check_shape(
        self, key: str, found: tuple[int, ...], wanted: tuple[int | None, ...] | None
    ) -> None:
        """Compare a shape with the one that belongs to the other datasets."""
        if wanted is None or (
            len(found) == len(wanted)
            and all(w in (None, f) for f, w in zip(found, wanted, strict=True))
        ):
            return
        words = ", ".join("any" if length is None else str(length) for length in wanted)
        raise FileFormatError(f"{key} of shape ({words}) in {self._path}", f"shape {found}", COPY)

    def _read(self, key: str) -> Any:
        """Read a dataset whole."""
        dataset = require_memory(self.find(key), self._path, COPY)
        with explained_file(self._path, f"{key} of the MadMiner sample"):
            return dataset[()]

    def find(self, key: str) -> h5py.Dataset:
        """Return a dataset."""
        if not self.has(key):
            raise FileFormatError(
                f"a dataset {key} in {self._path}, as in a sample of MadMiner", "none", COPY
            )
        return plain_dataset(self._file, key, self._path, COPY)
