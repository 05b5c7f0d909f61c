"""Event files with positive weights, or with none, from weighted and signed ones."""

import dataclasses

import numpy as np
import pytest

from lfi_mflow.data import open_events, resample_events, store, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import effective_sample_size

N = 3000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.h5"


@pytest.fixture
def write(path, metadata, make_events):
    """A function that writes events with these weights and returns them."""

    def write(weight, **columns):
        events = make_events(N, weight=np.asarray(weight, dtype=float), **columns)
        write_events(path, metadata, [events], force=True)
        return events

    return write


def _read(path):
    with open_events(path) as file:
        return file.read(), file.metadata


def test_draws_follow_the_weights(write, path, tmp_path, monkeypatch):
    monkeypatch.setattr(store.EventFile.blocks, "__defaults__", (700, None))  # several blocks
    weight = np.random.default_rng(1).random(N) ** 2
    drawn = write(
        weight, score=np.arange(2.0 * N).reshape(N, 2), latent=np.arange(N)[:, None] + 0.0
    )
    made = resample_events(path, tmp_path / "out.h5", 900, seed=3)
    events, metadata = _read(tmp_path / "out.h5")
    rows = events.latent[:, 0].astype(int)
    assert (made.n_events, made.distinct, made.repeated) == (900, len(np.unique(rows)), 0)
    assert events.weight is None
    assert np.array_equal(events.x, drawn.x[rows])
    assert np.array_equal(events.theta, drawn.theta[rows])
    assert np.array_equal(events.score, drawn.score[rows])
    edges = np.linspace(0, N, 11)
    expected = np.add.reduceat(weight, edges[:-1].astype(int)) * 900 / weight.sum()
    # systematic draws in the order of the file: each part of it gets its due
    np.testing.assert_allclose(np.histogram(rows, edges)[0], expected, atol=1.01)
    assert made.before == made.after
    assert made.after.effective_sample_size == pytest.approx(effective_sample_size(weight))
    assert metadata.provenance["resampled_from"] == str(path)
    assert float(metadata.provenance["resampled_sum_of_weights"]) == pytest.approx(weight.sum())
    assert metadata.simulator == "paper"


def test_more_draws_than_events_repeat_them(write, path, tmp_path):
    write(np.full(N, 2.0))
    made = resample_events(path, tmp_path / "out.h5", 2 * N)
    assert (made.distinct, made.repeated) == (N, N)
    rows = _read(tmp_path / "out.h5")[0].x
    assert np.array_equal(rows[::2], rows[1::2])


def test_equal_seeds_give_equal_files(write, path, tmp_path, same_events):
    write(np.linspace(0.1, 1.0, N))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        resample_events(path, tmp_path / name, 500, seed=seed)
    same_events(_read(tmp_path / "a")[0], _read(tmp_path / "b")[0])
    assert not np.array_equal(_read(tmp_path / "a")[0].x, _read(tmp_path / "c")[0].x)


def test_the_mean_of_the_components_is_kept(write, path, tmp_path):
    """The components of an event hold its weight, as those of a proposal do."""
    weight = np.random.default_rng(2).random(N) + 0.1
    components = weight[:, None] * np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0])
    write(weight, components=components)
    resample_events(path, tmp_path / "out.h5", 1000)
    found = _read(tmp_path / "out.h5")[0].components
    np.testing.assert_allclose(found.mean(axis=0), components.mean(axis=0), rtol=1e-12)


@pytest.fixture
def signed():
    return np.where(np.random.default_rng(3).random(N) < 0.2, -0.7, 1.0)


def test_signed_weights_become_positive(write, path, tmp_path, signed):
    drawn = write(signed, components=np.ones((N, 6)))
    made = resample_events(path, tmp_path / "out.h5")
    events, _ = _read(tmp_path / "out.h5")
    assert events.weight.min() >= 0.0
    assert events.weight.sum() == pytest.approx(signed.sum())
    assert np.array_equal(events.x, drawn.x)
    assert events.components is None  # they held the weights of before
    assert made.before.negative == np.count_nonzero(signed < 0)
    assert made.after.negative == 0
    assert made.after.effective_sample_size > made.before.effective_sample_size
    assert (made.n_events, made.repeated) == (N, 0)
    assert len(made.cells.radius) > 0


def test_signed_weights_become_none(write, path, tmp_path, signed):
    write(signed)
    made = resample_events(path, tmp_path / "out.h5", 400)
    assert _read(tmp_path / "out.h5")[0].weight is None
    assert made.n_events == 400
    assert made.cells is not None


def test_neighbours_have_near_parameters(path, tmp_path, metadata, make_events, signed):
    """Features alone say nothing here: cells across parameters would mix their densities."""
    events = make_events(N, weight=signed)
    theta = np.where(np.arange(N)[:, None] % 2, 1.0, -1.0) * np.ones((1, 2))
    write_events(path, metadata, [dataclasses.replace(events, theta=theta)], force=True)
    resample_events(path, tmp_path / "out.h5")
    after = _read(tmp_path / "out.h5")[0].weight
    for sign in (-1.0, 1.0):
        rows = theta[:, 0] == sign
        assert after[rows].sum() == pytest.approx(signed[rows].sum(), rel=1e-9)


def test_what_cannot_be_resampled(write, path, tmp_path, metadata, make_events, signed):
    def refused(match, kind=DataError, n=100):
        with pytest.raises(kind, match=match):
            resample_events(path, tmp_path / "out.h5", n)
        assert not (tmp_path / "out.h5").exists()

    write(np.ones(N))
    refused("give -n N", InputError, None)
    refused("at least one event to draw, found 0", InputError, 0)
    write(np.r_[np.ones(N - 1), np.nan])
    refused(f"nan in row {N - 1}")
    write(-signed)
    refused("positive sum")
    write(np.zeros(N))
    refused("positive sum")
    write(np.r_[np.ones(30), np.full(N - 30, 1e-9)])
    refused(r"at least 50 in .*, found 30 of")
    write_events(path, metadata, [make_events(10)], force=True)
    refused("events with weights .*, found none")
