"""A file that HDF5 can always close, also on a full disk.

When a write fails, HDF5 cannot close its file any more, and the process dies
with a segmentation fault when the library is unloaded. So HDF5 writes through
an object that keeps the first error to itself and from then on throws away what
it is given: HDF5 closes an incomplete file in peace, and the error is raised
afterwards, in Python.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

__all__ = ["Sink", "create_hdf5"]


class Sink(io.FileIO):
    """A new file whose writes never raise.

    Arguments:
        path: Where the file is created; it must not exist.

    Attributes:
        error: The first error of the system, None as long as all is well.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "xb+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``, or note the error and drop it."""
        view = memoryview(data)
        done = 0
        while self.error is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file, or note the error."""
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; what was never written reads as zeros."""
        view = memoryview(buffer)
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def raise_error(self) -> None:
        """Raise the noted error, if there is one."""
        if self.error is not None:
            raise self.error


@contextmanager
def create_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Create an HDF5 file with checksummed metadata that HDF5 1.10 and later read.

    Call ``sink.raise_error()`` after each block, so that a full disk ends the
    work at once; it is called at the end in any case.

    Raises:
        OSError: What the system said when a write failed.
    """
    with Sink(path) as sink:
        with h5py.File(sink, "w", libver=("v110", "v110")) as file:
            yield file, sink
        sink.raise_error()
