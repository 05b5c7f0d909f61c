"""Damage that HDF5 would not come back from is found before it reads."""

import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from lfi_mflow.cli.file_kinds import file_kind
from lfi_mflow.data.schema import open_hdf5
from lfi_mflow.data.watched import damage_of
from lfi_mflow.errors import FileFormatError


@pytest.fixture
def path(tmp_path):
    """A file with texts in its attributes and in an array."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["text"] = "what it is"
        file.create_dataset("names", data=["a", "b"], dtype=h5py.string_dtype())
        file.create_dataset("x", data=np.arange(6.0))
        file["x"].attrs["unit"] = "GeV"
    return path


def change(path, place, content):
    """Put other bytes to a place of a file."""
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)


def heap(path):
    """Return where the texts are."""
    return path.read_bytes().index(b"GCOL")


def test_a_file_in_order(path):
    assert damage_of(path) is None
    with open_hdf5(path) as file:
        assert file.attrs["text"] == "what it is"


@pytest.mark.parametrize("size", [2**64 - 16, 2**64 - 40, 2**64 - 1])
def test_texts_that_lead_back_to_themselves(path, size):
    change(path, heap(path) + 24, struct.pack("<Q", size))
    assert damage_of(path) == "strings without an end"
    with pytest.raises(FileFormatError, match="strings without an end"):
        open_hdf5(path)
    assert file_kind(path) == "events"


def free_space(path):
    """Return where the free space of the heap begins."""
    content = path.read_bytes()
    place = heap(path) + 16
    while content[place : place + 2] != b"\0\0":
        place += 16 + -(-struct.unpack_from("<Q", content, place + 8)[0] // 8) * 8
    return place


def test_free_space_of_no_size(path):
    change(path, free_space(path) + 8, bytes(8))
    assert damage_of(path) == "strings without an end"


def test_bytes_of_a_heap_that_the_library_ignores(path):
    change(path, free_space(path) + 8, bytes(8))
    change(path, heap(path) + 5, b"\0\0\x80")
    assert damage_of(path) == "strings without an end"


def test_texts_that_are_too_long(path):
    change(path, heap(path) + 8, struct.pack("<Q", 2**40))
    assert "texts of 1,099,511,627,776 bytes" in damage_of(path)


def test_heaps_that_claim_to_overlap(path):
    """Each is in order, but there are so many that looking through them would take for ever."""
    header = b"GCOL\x01\x00\x00\x00" + struct.pack("<Q", 2**22)
    free = struct.pack("<QQ", 0, 2**22 - 16)
    for place in range(free_space(path) + 32, heap(path) + 4000, 64):
        change(path, place, header + free)
    path.write_bytes(path.read_bytes().ljust(2**23, b"\0"))
    assert "texts of 1" in damage_of(path)


def test_a_long_text_is_in_order(tmp_path):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["text"] = "x" * (3 * 2**20)
    assert damage_of(path) is None


def test_an_array_of_texts_is_looked_at(tmp_path):
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("names", data=["a", "b"], dtype=h5py.string_dtype())
    change(path, heap(path) + 24, struct.pack("<Q", 2**64 - 16))
    assert damage_of(path) == "strings without an end"


def test_a_block_larger_than_the_file(path):
    """The superblock of the first version points to a driver's block, whose size is anything."""
    content = path.read_bytes()
    assert content[8] == 0  # its version
    change(path, 48, struct.pack("<Q", 512))
    change(path, 512, struct.pack("<4sI", b"\0\0\0\0", 2**32 - 2**24))
    assert "a block of 4,278,190" in damage_of(path)


def test_the_library_still_needs_it(path):
    """As long as HDF5 does not come back from such a file by itself."""
    change(path, heap(path) + 24, struct.pack("<Q", 2**64 - 16))
    code = "import h5py, sys; dict(h5py.File(sys.argv[1], 'r').attrs)"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code, path], timeout=5, check=False)
