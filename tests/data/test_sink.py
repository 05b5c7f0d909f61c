import errno
import resource
import signal
import sys
from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from lfi_mflow.data.sink import Sink, create_hdf5


@contextmanager
def file_size_limit(size):
    """Let the system refuse to write beyond a number of bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_it_writes_like_a_file(tmp_path):
    path = tmp_path / "plain.h5"
    values = np.random.default_rng(0).normal(size=(1000, 3))
    with create_hdf5(path) as (file, sink):
        file["values"] = values
        sink.raise_error()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["values"], values)


def test_it_never_overwrites(tmp_path):
    (tmp_path / "old").touch()
    with pytest.raises(FileExistsError):
        Sink(tmp_path / "old")


def test_a_full_disk_is_noted_and_later_writes_are_dropped(tmp_path):
    with Sink(tmp_path / "file") as sink:
        with file_size_limit(10):
            assert sink.write(b"12345678") == 8
            sink.raise_error()
            assert sink.write(b"abcdefgh") == 8
        assert sink.error.errno == errno.EFBIG
        assert sink.write(b"1") == 1
        assert sink.truncate(100) == 100
        with pytest.raises(OSError, match="too large"):
            sink.raise_error()
    assert (tmp_path / "file").read_bytes() == b"12345678ab"


def test_a_refused_truncation_is_noted(tmp_path):
    with Sink(tmp_path / "file") as sink, file_size_limit(10):
        assert sink.truncate(100) == 100
        assert sink.error.errno == errno.EFBIG


def test_what_was_never_written_reads_as_zeros(tmp_path):
    with Sink(tmp_path / "file") as sink:
        sink.write(b"12")
        sink.seek(0)
        buffer = bytearray(b"abcd")
        assert sink.readinto(buffer) == 4
    assert buffer == b"12\0\0"


@pytest.mark.parametrize("size", [0, 100, 3_000, 20_000])
def test_hdf5_closes_on_a_full_disk(tmp_path, size):
    def write():
        with create_hdf5(tmp_path / "full.h5") as (file, _):
            for index in range(10):
                file[f"values{index}"] = np.zeros(1000)
                file.flush()

    with file_size_limit(size), pytest.raises(OSError, match="too large"):
        write()
    assert h5py.h5f.get_obj_count(types=h5py.h5f.OBJ_FILE) == 0


@pytest.mark.parametrize("name", ["write", "truncate", "readinto", "create_hdf5"])
def test_ctrl_c_waits_until_hdf5_is_done(tmp_path, name):
    code = create_hdf5.__wrapped__ if name == "create_hdf5" else getattr(Sink, name)

    def press_once(frame, event, _):
        if event in ("call", "return") and frame.f_code is code.__code__:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    def write():
        with create_hdf5(tmp_path / "file.h5") as (file, sink):
            sys.setprofile(press_once)
            file["values"] = np.zeros(1000)
            file.flush()
            sink.seek(0)
            sink.readinto(bytearray(10))
            assert sink.waiting == ([] if name == "create_hdf5" else [signal.SIGINT])
        pytest.fail("nothing was raised")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert signal.getsignal(signal.SIGINT) is before
    assert h5py.h5f.get_obj_count(types=h5py.h5f.OBJ_FILE) == 0
    with h5py.File(tmp_path / "file.h5") as file:
        assert file["values"].shape == (1000,)


def test_ctrl_c_between_the_calls_of_hdf5_is_heard_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt), create_hdf5(tmp_path / "file.h5") as (_, sink):
        signal.raise_signal(signal.SIGINT)
    assert sink.waiting == []
    assert h5py.h5f.get_obj_count(types=h5py.h5f.OBJ_FILE) == 0
