import subprocess
import sys

import h5py
import numpy as np
import pytest

from lfi_mflow.data import open_events, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import Events


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.h5"


def test_what_is_written_is_read(path, metadata, make_events, same_events):
    events = make_events(40_000)
    assert write_events(path, metadata, [events], force=False) == 40_000
    with open_events(path) as file:
        assert len(file) == 40_000
        assert file.metadata == metadata
        assert file.columns == ("theta", "x")
        same_events(file.read(), events)
        same_events(file.read(slice(16_380, 16_390)), events[16_380:16_390])
        same_events(file.read(slice(-5, None)), events[-5:])
        assert len(file.read(slice(7, 7))) == 0
        file.verify()


def test_optional_columns_and_single_precision_survive(path, metadata, make_events, same_events):
    plain, n = make_events(300), 300
    rng = np.random.default_rng(1)
    events = Events(
        plain.theta,
        plain.x.astype(np.float32),
        weight=rng.random(n),
        log_ratio=rng.random(n),
        score=rng.random((n, 2)),
        latent=rng.random((n, 2)),
        components=rng.random((n, 5)),
    )
    write_events(path, metadata, [events], force=False)
    with open_events(path) as file:
        same_events(file.read(), events)
        file.verify()


def test_observed_events_have_no_theta(path, metadata, make_events):
    observed = Events(np.empty((20_000, 0)), make_events(20_000).x)
    nameless = type(metadata)(parameters=(), observables=metadata.observables)
    write_events(path, nameless, [observed], force=False)
    with open_events(path) as file:
        assert file.read().theta.shape == (20_000, 0)
        assert file.read(slice(3, 5)).theta.shape == (2, 0)
        file.verify()


def test_the_file_says_what_it_is(path, metadata, make_events):
    write_events(path, metadata, [make_events(10)], force=False)
    with h5py.File(path) as file:
        assert file.attrs["format"] == "lfi-mflow events"
        assert file.attrs["schema_version"] == 1
        for name in ("theta", "x"):
            assert file[name].fletcher32
            assert file[name].dtype == np.float64


def test_blocks_cover_the_file_in_order(path, metadata, make_events, same_events):
    events = make_events(1_050)
    write_events(path, metadata, [events], force=False)
    with open_events(path) as file:
        blocks = list(file.blocks(100))
    assert [len(block) for block in blocks] == [100] * 10 + [50]
    same_events(Events.concatenate(blocks), events)


def test_a_step_is_refused(path, metadata, make_events):
    write_events(path, metadata, [make_events(10)], force=False)
    with open_events(path) as file, pytest.raises(InputError, match="contiguous"):
        file.read(slice(0, 10, 2))


def test_nonfinite_values_are_counted_by_column(path, metadata, make_events):
    events = make_events(100_000, weight=np.ones(100_000))
    events.x[[5, 99_999], 1] = np.nan
    events.x[70_000, 2] = np.inf
    events.theta[3, 0] = -np.inf
    events.weight[9] = np.nan
    write_events(path, metadata, [events], force=False)
    with open_events(path) as file:
        assert file.nonfinite() == {"theta": 1, "py": 2, "η": 1, "weight": 1}
        file.verify()


def test_shuffled_batches_of_some_rows(path, metadata, make_events):
    events = make_events(50_000)
    write_events(path, metadata, [events], force=False)
    with open_events(path) as file:
        rows = slice(10_000, 45_000)
        batches = list(file.shuffled_batches(64, np.random.default_rng(0), rows))
        again = list(file.shuffled_batches(64, np.random.default_rng(0), rows))
    shuffled = Events.concatenate(batches)
    assert [len(batch) for batch in batches] == [64] * 546 + [56]
    order = np.lexsort(shuffled.x.T)
    expected = events[rows]
    np.testing.assert_array_equal(shuffled.x[order], expected.x[np.lexsort(expected.x.T)])
    np.testing.assert_array_equal(shuffled.theta[order], expected.theta[np.lexsort(expected.x.T)])
    assert not np.array_equal(shuffled.x, expected.x)
    np.testing.assert_array_equal(shuffled.x, Events.concatenate(again).x)


def test_flipped_bits_in_the_values_are_found(path, metadata, make_events):
    write_events(path, metadata, [make_events(40_000)], force=False)
    with h5py.File(path) as file:
        chunk = file["x"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0x10
    path.write_bytes(content)
    with open_events(path) as file:
        file.read(slice(0, 16_384))
        with pytest.raises(DataError, match="damaged"):
            file.read(slice(16_384, 16_385))
        with pytest.raises(DataError, match="damaged"):
            file.verify()


def test_changed_values_with_right_checksums_are_found(path, metadata, make_events):
    write_events(path, metadata, [make_events(1_000)], force=False)
    with h5py.File(path, "r+") as file:
        file["x"][500, 1] += 1e-12
    with open_events(path) as file, pytest.raises(DataError, match="SHA-256"):
        file.verify()


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Write, read, shuffle and verify 240 MB of events within 100 MB beyond the imports."""
    code = """
import resource, sys
import numpy as np
from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.simulation import Events, Observable, Parameter
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
metadata = EventMetadata((Parameter("t"),), tuple(Observable(f"x{i}") for i in range(9)))
def batches():
    rng = np.random.default_rng(0)
    for _ in range(300):
        yield Events(np.ones((10_000, 1)), rng.integers(0, 9, (10_000, 9)).astype(float))
before = peak()
write_events(sys.argv[1], metadata, batches(), force=False)
with open_events(sys.argv[1]) as file:
    file.verify()
    shuffled = file.shuffled_batches(1000, np.random.default_rng(0), buffer_rows=50_000)
    count = sum(map(len, shuffled))
print(count, peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "events.h5"],
        capture_output=True,
        text=True,
        check=True,
    )
    count, growth = run.stdout.split()
    assert int(count) == 3_000_000
    assert float(growth) < 100
