"""One event file of several."""

import dataclasses
import json

import numpy as np
import pytest

from lfi_mflow.data import merge_events, open_events, write_events
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


def test_all_events_are_there_and_every_part_has_its_share(write, tmp_path):
    sizes = {1: 3 * CHUNK_ROWS + 5, 2: CHUNK_ROWS, 3: 7}
    paths = [write(n, seed) for seed, n in sizes.items()]
    done = []
    assert merge_events(paths, tmp_path / "all.h5", progress=done.append) == sum(sizes.values())
    merged, metadata = _rows(tmp_path / "all.h5")
    assert done[-1] == sum(sizes.values())
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
