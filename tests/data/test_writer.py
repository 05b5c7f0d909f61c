import itertools
import subprocess
import sys

import h5py
import numpy as np
import pytest

from lfi_mflow.data import open_events, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import Events


def stored_chunks(path):
    """All bytes of the datasets as they lie in the file."""
    with h5py.File(path) as file:
        return {
            (name, offset): dataset.id.read_direct_chunk(offset)
            for name, dataset in file.items()
            for offset in (
                dataset.id.get_chunk_info(i).chunk_offset
                for i in range(dataset.id.get_num_chunks())
            )
        }


@pytest.mark.parametrize(
    "cuts", [[1], [16_384, 32_768], [10, 20_000, 39_999], range(0, 40_000, 700)]
)
def test_the_bytes_do_not_depend_on_the_batches(tmp_path, metadata, make_events, cuts):
    events = make_events(40_000)
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    write_events(whole, metadata, [events], force=False)
    edges = [0, *cuts, 40_000]
    batches = (events[a:b] for a, b in itertools.pairwise(edges))
    write_events(cut, metadata, batches, force=False)
    assert stored_chunks(whole) == stored_chunks(cut)
    with open_events(whole) as first, open_events(cut) as second:
        assert first.digest == second.digest


def test_a_file_is_replaced_only_by_force(tmp_path, metadata, make_events):
    path = tmp_path / "events.h5"
    write_events(path, metadata, [make_events(3)], force=False)
    with pytest.raises(InputError, match="--force"):
        write_events(path, metadata, [make_events(4)], force=False)
    write_events(path, metadata, [make_events(4)], force=True)
    with open_events(path) as file:
        assert len(file) == 4


def test_counts_may_be_filled_while_the_batches_are_made(tmp_path, metadata, make_events):
    def batches():
        yield make_events(5)
        metadata.counts["late"] = 1

    write_events(tmp_path / "events.h5", metadata, batches(), force=False)
    with open_events(tmp_path / "events.h5") as file:
        assert file.metadata.counts["late"] == 1


def rows(n, p, d, **columns):
    return Events(np.zeros((n, p)), np.zeros((n, d)), **columns)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one event"),
        ([rows(0, 2, 3)], "at least one event"),
        ([rows(2, 1, 3)], "2 columns in theta"),
        ([rows(2, 2, 4)], "3 columns in x"),
        ([rows(2, 2, 3), rows(2, 2, 3, weight=np.ones(2))], "same arrays"),
        ([rows(16_384, 2, 3), rows(2, 2, 3, weight=np.ones(2))], "same arrays"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, metadata, batches, message):
    with pytest.raises(DataError, match=message):
        write_events(tmp_path / "events.h5", metadata, batches, force=False)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_leaves_the_old_file(tmp_path, metadata, make_events):
    path = tmp_path / "events.h5"
    write_events(path, metadata, [make_events(3)], force=False)
    before = path.read_bytes()

    def batches():
        yield make_events(40_000)
        raise RuntimeError("from the source")

    with pytest.raises(RuntimeError, match="from the source"):
        write_events(path, metadata, batches(), force=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("limit", [100, 5_000, 1_000_000])
def test_a_full_disk_is_one_clear_error_and_the_process_lives(
    tmp_path, metadata, make_events, limit
):
    """In a process of its own: HDF5 can die of this when it is unloaded."""
    path = tmp_path / "events.h5"
    write_events(path, metadata, [make_events(3)], force=False)
    before = path.read_bytes()
    code = """
import resource, sys
import numpy as np
from lfi_mflow.data import open_events, write_events
from lfi_mflow.errors import StorageError
from lfi_mflow.simulation import Events
path, limit = sys.argv[1], int(sys.argv[2])
with open_events(path) as file:
    metadata = file.metadata
rng = np.random.default_rng(0)
batches = (Events(rng.random((20_000, 2)), rng.random((20_000, 3))) for _ in range(5))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_events(path, metadata, batches, force=True)
except StorageError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, path, str(limit)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"could not write {path}: the file size limit is reached")
    assert run.stdout.count("\n") == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
