"""HDF5 files from strangers: nothing but values that stand in the file itself."""

import io
import os

import h5py
import numpy as np
import pytest

from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.data.trust import find_plain, plain_dataset, require_memory
from lfi_mflow.errors import FileFormatError
from lfi_mflow.simulation import Events, Observable, Parameter


def elsewhere(shape):
    layout = h5py.VirtualLayout(shape, "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape)
    return layout


HOSTILE = {
    "a soft link": lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
    "a link to itself": lambda file: file.__setitem__("x", h5py.SoftLink("/x")),
    "another file": lambda file: file.__setitem__("x", h5py.ExternalLink("other.h5", "/y")),
    "values of another file": lambda file: file.create_dataset(
        "x", (3,), "i1", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    ),
    "a virtual one": lambda file: file.create_virtual_dataset("x", elsewhere((3,))),
    "1e18 rows in no chunk": lambda file: file.create_dataset(
        "x", (10**18,), "f4", chunks=(10**4,)
    ),
    "rows that were never written": lambda file: file.create_dataset("x", (1000,), "f8"),
    "a chunk of 2 GiB": lambda file: file.create_dataset(
        "x", (2**28,), "f8", chunks=(2**28,), compression="gzip"
    ),
    "a group": lambda file: file.create_group("x"),
    "nothing": lambda file: file.create_dataset("x", data=h5py.Empty("f8")),
    "no such name": lambda file: None,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_plain_is_refused(tmp_path, what):
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        file["y"] = np.arange(3.0)
        HOSTILE[what](file)
    with h5py.File(path) as file, pytest.raises(FileFormatError, match="an array x"):
        plain_dataset(file, "x", path, "write it anew")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (10, 3)},
        {"chunks": (16, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (1000, 3), "maxshape": (None, 3), "compression": "lzf"},
    ],
)
def test_what_is_written_is_there(tmp_path, options):
    path = tmp_path / "plain.h5"
    values = np.arange(300.0).reshape(100, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("group/x", data=values, **options)
        file.create_dataset("empty", (100, 0), "f8")
    with h5py.File(path) as file:
        dataset = plain_dataset(file, "group/x", path, "write it anew")
        np.testing.assert_array_equal(dataset[...], values)
        assert plain_dataset(file, "empty", path, "write it anew").shape == (100, 0)
        assert find_plain(file, "group/none") is None


def test_an_unknown_filter_is_not_loaded(tmp_path):
    path = tmp_path / "filter.h5"
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, dcpl=plist)
    with h5py.File(path) as file, pytest.raises(FileFormatError, match="number 40000"):
        plain_dataset(file, "x", path, "write it anew")


def test_no_pipe_is_opened(tmp_path):
    """Opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe.h5")
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("pipe.h5", "/x")
    with h5py.File(path) as file, pytest.raises(FileFormatError):
        plain_dataset(file, "x", path, "write it anew")


def test_what_is_read_whole_is_small_or_as_large_as_its_file(tmp_path):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**26,), "f8", chunks=(2**24,), compression="gzip")[...] = 0.0
        file["y"] = np.arange(3.0)
    assert path.stat().st_size < 2**20
    with h5py.File(path) as file:
        assert require_memory(file["y"], path, "copy it").shape == (3,)
        with pytest.raises(FileFormatError, match="not larger than its file"):
            require_memory(file["x"], path, "copy it")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "e.h5"
    metadata = EventMetadata((Parameter("t"),), (Observable("a"), Observable("b")), 1)
    rng = np.random.default_rng(1)
    events = Events(theta=rng.normal(size=(20, 1)), x=rng.normal(size=(20, 2)))
    write_events(path, metadata, [events], force=False)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["theta", "x", "weight"])
@pytest.mark.parametrize("what", [what for what in HOSTILE if what != "no such name"])
def test_no_event_file_makes_a_reader_go_elsewhere(content, tmp_path, name, what):
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        if name in file:
            del file[name]
        group = file.create_group("hidden")
        HOSTILE[what](group)
        group.move("x", f"/{name}")
    path = tmp_path / "e.h5"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FileFormatError, match="an array"), open_events(path):
        pass
