"""One event file of several."""

import dataclasses
import itertools
import json

import h5py
import numpy as np
import pytest

from lfi_mflow.data import (
    MergedFiles,
    merge_events,
    open_events,
    open_together,
    write_events,
)
from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.errors import DataError, InputError


@pytest.fixture
def write(tmp_path, metadata, make_events):
    """A function that writes n events that begin with a seed, with other metadata and columns."""

    def write(n, start, columns=None, **changed):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        events = make_events(n, start, latent=np.full((n, 1), float(start)), **(columns or {}))
        about = dataclasses.replace(metadata, **{"seed": start} | changed)
        write_events(path, about, [events], force=False)
        return path

    return write


def _rows(path):
    with open_events(path) as file:
        file.verify()
        return file.read(), file.metadata


SIZES = {1: 9 * CHUNK_ROWS + 5, 2: 3 * CHUNK_ROWS, 3: 7}


def test_all_events_are_there_and_every_part_has_its_share(write, tmp_path):
    sizes = {1: 3 * CHUNK_ROWS + 5, 2: CHUNK_ROWS, 3: 7}
    paths = [write(n, seed) for seed, n in sizes.items()]
    done = []
    assert merge_events(paths, tmp_path / "all.h5", progress=done.append) == sum(sizes.values())
    merged, metadata = _rows(tmp_path / "all.h5")
    assert (done[0], done[-1]) == (0, sum(sizes.values()))
    for path, seed in zip(paths, sizes, strict=True):
        own = merged.latent[:, 0] == seed
        assert np.array_equal(merged.x[own], _rows(path)[0].x)  # in their order
        assert np.array_equal(merged.theta[own], _rows(path)[0].theta)
        quarters = [part.sum() for part in np.array_split(own, 4)]
        assert max(quarters) - min(quarters) <= 0.3 * sizes[seed]
    assert metadata.seed is None
    assert metadata.simulator == "paper"
    assert metadata.prior == [{"kind": "uniform", "low": -1.0, "high": 1.0}]
    assert metadata.counts == {"nonfinite": 6}
    origin = json.loads(metadata.provenance["merged_from"])
    assert [(row["seed"], row["events"]) for row in origin] == list(sizes.items())


def test_several_files_are_read_as_the_one_that_they_become(write, tmp_path):
    paths = [write(n, seed) for seed, n in SIZES.items()]
    merge_events(paths, tmp_path / "all.h5")
    merged, metadata = _rows(tmp_path / "all.h5")
    edges = [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3, 100_000, len(merged)]
    with open_together(paths) as files:
        assert isinstance(files, MergedFiles)
        assert len(files) == len(merged)
        assert (files.metadata.counts, files.columns) == (metadata.counts, tuple(merged.columns()))
        for start, stop in itertools.combinations_with_replacement(edges, 2):
            some = files.read(slice(start, stop), columns=("theta", "x"))
            assert np.array_equal(some.x, merged.x[start:stop])
            assert np.array_equal(some.theta, merged.theta[start:stop])
            assert some.latent is None
        latent = np.concatenate(list(files.column_blocks("latent", 50_000)))
        assert np.array_equal(latent, merged.latent)
        with pytest.raises(DataError, match=r"an array 'weight' in .*0.h5 and 2 more, found none"):
            next(files.column_blocks("weight"))
    with open_together(paths[::-1]) as other, open_together(paths[0]) as alone:
        assert len({files.digest, other.digest, alone.digest}) == 3


def test_rows_that_are_stored_together_are_of_one_file(write):
    paths = [write(n, seed) for seed, n in SIZES.items()]
    with open_together(paths) as files:
        whole = files.stored_together(slice(0, len(files)))
        cut = files.stored_together(slice(3, len(files) - 3))
        seen = [files.read(rows).latent for rows in whole]
    assert [rows.start for rows in whole[1:]] == [rows.stop for rows in whole[:-1]]
    assert (whole[0].start, whole[-1].stop) == (0, sum(SIZES.values()))
    assert len(whole) == 10 + 10 + 7  # chunks of the largest, smaller pieces of the others
    assert all(len(np.unique(latent)) == 1 for latent in seen)
    assert (cut[0], cut[-1].stop) == (slice(3, whole[0].stop), whole[-1].stop - 3)
    assert cut[1:-1] == whole[1:-1]


def test_every_event_of_several_files_comes_once_in_random_order(write):
    paths = [write(n, seed) for seed, n in SIZES.items()]
    with open_together(paths) as files:
        expected = files.read()
        batches = files.shuffled_batches(1000, np.random.default_rng(0), buffer_rows=40_000)
        theta = np.concatenate([batch.theta for batch in batches])
        assert list(files.shuffled_batches(9, np.random.default_rng(0), slice(5, 5))) == []
    assert not np.array_equal(theta, expected.theta)
    assert np.array_equal(np.sort(theta, axis=0), np.sort(expected.theta, axis=0))


def test_which_of_several_files_is_damaged_is_told(write):
    paths = [write(100, 1), write(100, 2)]
    content = bytearray(paths[1].read_bytes())
    with h5py.File(paths[1]) as file:
        place = file["x"].id.get_chunk_info(0).byte_offset
    content[place + 8] ^= 1
    paths[1].write_bytes(content)
    with (
        open_together(paths) as files,
        pytest.raises(DataError, match=r"of .*1\.h5, found damaged"),
    ):
        files.read()


def test_origins_that_all_share_are_kept(write, metadata, tmp_path):
    origins = [{"mapping": "{}", "imported_from": name} for name in ("a.root", "b.root")]
    paths = [write(9, seed, provenance=origin) for seed, origin in enumerate(origins)]
    with open_together(paths) as files:
        assert files.metadata.provenance["mapping"] == "{}"
        assert "imported_from" not in files.metadata.provenance


def test_priors_may_differ(write, tmp_path):
    narrow = [{"kind": "uniform", "low": -0.1, "high": 0.1}]
    merge_events([write(9, 1), write(9, 2, prior=narrow)], tmp_path / "all.h5")
    assert _rows(tmp_path / "all.h5")[1].prior is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"simulator": "other"}, "the simulator of .*: paper, found other in"),
        ({"settings": {"degree": 4}}, "the settings of .*'degree': 3.*'degree': 4"),
        ({"manifold_dim": 1}, "the manifold dim of"),
        ({"columns": {"weight": np.ones(9)}}, "the arrays of .*, found theta, x, weight, latent"),
        ({"seed": 1}, "another seed in .*, found 1 in both: events twice"),
    ],
)
def test_what_does_not_fit_together_is_refused(write, tmp_path, changed, message):
    paths = [write(9, 1), write(9, 2, **changed)]
    with pytest.raises(DataError, match=message):
        merge_events(paths, tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()


def test_the_same_events_twice_are_refused(write, tmp_path):
    path, imported = write(9, 1), {"simulator": None, "seed": None}
    with pytest.raises(DataError, match="another sha256 in"):
        merge_events([path, path], tmp_path / "all.h5")
    paths = [write(9, 1, **imported), write(9, 1, **imported)]
    with pytest.raises(DataError, match="another sha256 in"):
        merge_events(paths, tmp_path / "all.h5")
    merge_events([write(9, 3, **imported), write(9, 4, **imported)], tmp_path / "all.h5")


def test_single_precision_is_not_taken_from_events(write, tmp_path, make_events, metadata):
    events = make_events(9, 5, latent=np.zeros((9, 1)))
    single = dataclasses.replace(events, x=events.x.astype(np.float32))
    write_events(tmp_path / "single.h5", metadata, [single], force=False)
    with pytest.raises(DataError, match=r"precision of x of .*: float32, found float64"):
        merge_events([tmp_path / "single.h5", write(9, 6)], tmp_path / "all.h5")


def test_one_file_is_none_too_many(write, tmp_path):
    with pytest.raises(InputError, match="two event files or more, found 1"):
        merge_events([write(9, 1)], tmp_path / "all.h5")
