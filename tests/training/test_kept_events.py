"""Prepared events in a temporary file."""

import errno
import tempfile

import numpy as np
import pytest

from lfi_mflow.errors import StorageError
from lfi_mflow.simulation import Events
from lfi_mflow.training.kept_events import KeptEvents

SINGLE = np.dtype("float32")


@pytest.fixture
def blocks(make_events):
    columns = {"weight": np.arange(50.0), "score": -np.arange(50.0)[:, None]}
    whole = make_events(50, **columns)
    return whole, [whole[:20], whole[20:21], whole[21:]]


def test_what_is_read_is_what_was_kept(blocks):
    whole, parts = blocks
    kept = KeptEvents(parts, SINGLE)
    assert len(kept) == 50
    for rows in (slice(0, 50), slice(19, 22), slice(40, 99), slice(7, 7)):
        for name, values in kept.read(rows).columns().items():
            expected = whole[rows].columns()[name].astype(SINGLE)
            assert values.dtype == SINGLE
            np.testing.assert_array_equal(values, expected)
    assert set(kept.read(slice(0, 1)).columns()) == {"theta", "x", "weight", "score"}


def test_events_without_parameters():
    events = Events(np.zeros((5, 0)), np.arange(10.0).reshape(5, 2))
    found = KeptEvents([events], np.dtype("float64")).read(slice(1, 4))
    assert found.theta.shape == (3, 0)
    np.testing.assert_array_equal(found.x, events.x[1:4])


def test_the_file_has_no_name_and_goes(blocks, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = KeptEvents(blocks[1], SINGLE)
    file = kept._file
    assert list(tmp_path.iterdir()) == []
    del kept
    assert file.closed


def test_a_full_disk_is_explained(make_events):
    def full():
        yield make_events(5)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="prepared events: the disk is full"):
        KeptEvents(full(), SINGLE)
