"""Event files at other parameters."""

import dataclasses
import json

import numpy as np
import pytest

from lfi_mflow.data import morph_events, open_events, store, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import morph

N = 2000
RATES = np.array([2.0, 0.3, 0.1, 1.0, 0.0, 0.5])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.h5"


@pytest.fixture
def events(make_events):
    rng = np.random.default_rng(4)
    components = RATES * rng.gamma(4.0, 0.25, (N, 6))
    weight = rng.uniform(0.5, 1.5, N)
    score, ratio = np.zeros((N, 2)), np.zeros(N)
    return make_events(N, weight=weight, components=components, score=score, log_ratio=ratio)


@pytest.fixture
def write(path, metadata):
    def write(events, **origin):
        about = dataclasses.replace(metadata, provenance=origin)
        write_events(path, about, [events], force=True)

    return write


def _read(path):
    with open_events(path) as file:
        return file.read(), file.metadata


def test_a_file_is_morphed_as_its_events_are(
    write, path, tmp_path, events, same_events, monkeypatch
):
    monkeypatch.setattr(store.EventFile.blocks, "__defaults__", (300, None))
    write(events)
    made = morph_events(path, tmp_path / "out.h5", (0.5, -0.2), rates=RATES)
    expected = morph(events, np.array([0.5, -0.2]), RATES)
    found, metadata = _read(tmp_path / "out.h5")
    np.testing.assert_allclose(found.weight, expected.events.weight, rtol=1e-12)
    weight = expected.events.weight
    same_events(dataclasses.replace(found, weight=weight), expected.events)
    assert made.n_events == N
    assert made.effective_sample_size == pytest.approx(expected.effective_sample_size)
    assert json.loads(metadata.provenance["morphed_to"]) == [0.5, -0.2]
    assert metadata.prior is None


def test_unknown_rates_are_those_of_the_events_up_to_a_factor(write, path, tmp_path, events):
    write(events)
    morph_events(path, tmp_path / "out.h5", (0.5, -0.2))
    found = _read(tmp_path / "out.h5")[0].weight
    sums = events.components.sum(axis=0)
    np.testing.assert_allclose(found, morph(events, np.array([0.5, -0.2]), sums).events.weight)


def test_components_in_another_order(write, path, tmp_path, events):
    """MadMiner says which powers of theta belong to which column."""
    powers = [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    order = [5, 0, 3, 1, 4, 2]
    write(
        dataclasses.replace(events, components=events.components[:, order]),
        morphing_components=json.dumps([powers[k] for k in order]),
    )
    morph_events(path, tmp_path / "out.h5", (0.1, 0.1), rates=RATES)
    found, metadata = _read(tmp_path / "out.h5")
    expected = morph(events, np.array([0.1, 0.1]), RATES).events
    np.testing.assert_allclose(found.weight, expected.weight)
    assert np.array_equal(found.components, events.components)
    assert "morphing_components" not in metadata.provenance


def test_a_poor_sample_is_warned_of_and_a_worthless_one_not_written(write, path, tmp_path, events):
    output = tmp_path / "out.h5"
    peaked = np.ones(N)
    peaked[:100] = 1000.0
    write(dataclasses.replace(events, weight=peaked))
    with pytest.warns(UserWarning, match=rf"worth \d+ of its {N} events"):
        morph_events(path, output, (0.0, 0.0), rates=RATES)
    output.unlink()
    peaked[20:] = 1e-6
    write(dataclasses.replace(events, weight=peaked))
    with pytest.raises(DataError, match="at least 50"):
        morph_events(path, output, (0.0, 0.0), rates=RATES)
    assert not output.exists()


def test_what_cannot_be_morphed(write, path, tmp_path, events, make_events):
    def refused(match, theta=(0.1, 0.1), kind=DataError):
        with pytest.raises(kind, match=match):
            morph_events(path, tmp_path / "out.h5", theta)
        assert not (tmp_path / "out.h5").exists()

    write(events)
    refused("theta from -1 to 1, found 1.5", (1.5, 0.0), InputError)
    refused("2 values of theta", (0.5,), InputError)
    write(make_events(N))
    refused("component weights .*, found none")
    write(dataclasses.replace(events, components=events.components[:, :5]))
    refused("the 6 component weights of a quadratic polynomial .*, found 5")
    quartic = [[4, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    write(events, morphing_components=json.dumps(quartic))
    refused("of another one")
