"""HDF5 files whose bytes are looked at before the library gets them.

HDF5 2.0 believes two things of a damaged file that it should not. A block may claim to be
larger than the file, and gigabytes of zeros are made for it. And strings of variable length, which
attributes are made of, stand in *global heaps*, one after the other, each with its size: one whose
size leads back to itself is read for ever. Neither can be stopped from Python, as the library
never comes back. It is asked for every byte here instead, and gets none of such a block.

References:
    | HDF5 File Format Specification, version 3.0, section III.E
    | https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py

from lfi_mflow.data.trust import obstacle_of

__all__ = ["damage_of"]

_HEAP = b"GCOL\x01"  # three bytes follow that HDF5 does not look at
_OBJECT = 8  # bytes before the size of an object, and before that of its heap
_MOST_METADATA = 2**20
_MOST_TEXT_BYTES = 2**27
_MOST_TEXTS = 2**16


class _WatchedFile(io.FileIO):
    """A file that does not let HDF5 read what it would not come back from.

    Arguments:
        path: The file.

    Attributes:
        damage: What has been found, None if nothing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.damage: str | None = None
        self._length_bytes = 8
        self._looked_through = 0

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """Open it.

        Raises:
            OSError: If it cannot be opened, or is damaged; so does whatever reads from it.
        """
        with h5py.File(self, "r") as file:
            self._length_bytes = file.id.get_create_plist().get_sizes()[1]
            yield file

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as HDF5 asks for it.

        Raises:
            OSError: If it is damaged.
        """
        if self.damage is not None:
            raise OSError(self.damage)
        view, start = memoryview(buffer).cast("B"), self.tell()
        if len(view) > max(_MOST_METADATA, os.fstat(self.fileno()).st_size):
            self._refuse(f"a block of {len(view):,} bytes, more than there are")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        if len(view) <= _MOST_METADATA:
            content = bytes(view)
            place = content.find(_HEAP)
            while place >= 0:
                self._check_heap(start + place)
                place = content.find(_HEAP, place + 1)
        return len(view)

    def _check_heap(self, start: int) -> None:
        """Go through the objects of a global heap as the library does."""
        header = -(-(_OBJECT + self._length_bytes) // 8) * 8
        size = self._size(os.pread(self.fileno(), header, start))
        self._looked_through += size  # of all heaps together: they may claim to overlap
        if self._looked_through > _MOST_TEXT_BYTES:
            self._refuse(f"texts of {self._looked_through:,} bytes")
        heap = os.pread(self.fileno(), size, start)
        place = header
        while place + header <= len(heap):
            begin = heap[place : place + header]
            size = self._size(begin)
            free = begin[:2] == b"\0\0"  # its size includes the header
            step = size if free else header + -(-size // 8) * 8
            if not 0 < step <= len(heap) - place:
                self._refuse("strings without an end")
            place += step

    def _size(self, header: bytes) -> int:
        """Return the size that a header gives."""
        return int.from_bytes(header[_OBJECT : _OBJECT + self._length_bytes], "little")

    def _refuse(self, damage: str) -> None:
        self.damage = damage
        raise OSError(damage)


def damage_of(path: Path) -> str | None:
    """Say what in a file HDF5 would not come back from, None if nothing is.

    It opens everything that is in the file, and reads all attributes and texts.
    """
    with _WatchedFile(path) as raw:

        def visit(name: str, found: h5py.HLObject) -> None:
            for attribute in found.attrs:
                with suppress(Exception):
                    found.attrs[attribute]
            with suppress(Exception):
                if _is_text(found) and obstacle_of(found, path) is None:
                    found[...]

        with suppress(Exception), raw.opened() as file:
            visit("/", file)
            file.visititems(visit)
        return raw.damage


def _is_text(found: h5py.HLObject) -> bool:
    """Whether it is a small array of what may stand in a heap."""
    is_dataset = isinstance(found, h5py.Dataset)
    return is_dataset and found.dtype.hasobject and found.size <= _MOST_TEXTS
