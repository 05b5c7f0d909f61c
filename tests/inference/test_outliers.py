"""The posterior with and without the events off the manifold."""

import dataclasses
import functools

import numpy as np
import pytest

from lfi_mflow.errors import DataError, ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, build_flow
from lfi_mflow.inference import (
    infer_posterior,
    load_posterior,
    posterior_shifts,
    require_distances,
    without_outliers,
)
from lfi_mflow.inference.off_manifold import tail_probabilities
from lfi_mflow.simulation import Prior, Uniform

FAR = [4, 11, 25]


@pytest.fixture(scope="module")
def prior():
    return Prior((Uniform(-1.0, 1.0),))


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def infer(model, prior):
    return functools.partial(infer_posterior, model, prior=prior, method="grid")


@pytest.fixture
def without(model, infer):
    """A function that takes the posterior of events, and that without those off the manifold."""

    def both(x):
        everything = infer(x)
        return everything, without_outliers(model, everything, lambda used: infer(x[used]))

    return both


@pytest.fixture
def x(model, near_manifold):
    """Events of which three are off the manifold."""
    x = near_manifold(model, 60)
    x[FAR, 2] += 3.0
    return x


def test_it_is_the_posterior_of_the_events_that_are_left(infer, without, x):
    everything, kept = without(x)
    assert kept.data.removed.tolist() == FAR
    assert kept.statistics == infer(np.delete(x, FAR, axis=0)).statistics
    np.testing.assert_array_equal(kept.data.x, x)
    np.testing.assert_array_equal(kept.observed, np.delete(x, FAR, axis=0))
    assert kept.off_manifold_p_value > 0.01 > everything.off_manifold_p_value
    assert kept.removal.with_outliers == everything.summary()


def test_what_it_costs_is_the_share_of_validation_events_beyond_the_nearest(model, without, x):
    _, kept = without(x)
    quantiles = model.metadata.training["distance_quantiles"]
    nearest = kept.data.distance[FAR].min()
    assert kept.removal.loss == max(tail_probabilities([nearest], quantiles)[0], 1 / 4001)
    summary = kept.summary()
    assert summary["removed_events"] == 3
    assert summary["off_manifold_events"] == 0
    assert summary["expected_loss"] == kept.removal.loss


def test_the_shift_is_in_standard_deviations(without, x):
    everything, kept = without(x)
    after, before = kept.statistics["theta"], everything.statistics["theta"]
    expected = (after["mean"] - before["mean"]) / after["sd"]
    assert posterior_shifts(kept) == {"theta": pytest.approx(expected)}
    assert posterior_shifts(everything) == {"theta": 0.0}


def test_nothing_is_removed_where_nothing_is_off(model, without, near_manifold):
    everything, kept = without(near_manifold(model, 60))
    assert kept.statistics == everything.statistics
    assert (kept.removal.loss, len(kept.data.removed)) == (0.0, 0)


def test_the_file_says_which_events_were_used(without, x, tmp_path):
    _, kept = without(x)
    kept.save(tmp_path / "p.nc")
    loaded = load_posterior(tmp_path / "p.nc")
    np.testing.assert_array_equal(loaded.data.used, kept.data.used)
    assert loaded.removal == kept.removal
    assert loaded.summary() == kept.summary()


@pytest.mark.filterwarnings("ignore")  # those of arviz and xarray are not ours
def test_arviz_reads_which_events_were_used(arviz, without, x, tmp_path):
    without(x)[1].save(tmp_path / "p.nc")
    observed = arviz.from_netcdf(str(tmp_path / "p.nc")).observed_data
    assert np.flatnonzero(observed["used"].values == 0).tolist() == FAR
    assert observed["residual"].dims == ("event", "observable")


def test_something_must_be_left(model, without, near_manifold):
    with pytest.raises(DataError, match="some observed events on the manifold"):
        without(near_manifold(model, 10) + 30.0)


def test_a_model_that_fills_all_of_space_cannot_say(model):
    small = {"latent": {"transforms": 1, "hidden": 8}}
    flow = build_flow("af", Dimensions(3, 3, 1), small)
    metadata = dataclasses.replace(model.metadata, preset="af", training={})
    with pytest.raises(ModelMismatchError, match="af, which fills the whole space"):
        require_distances(Model(flow, metadata))


def test_a_model_without_distances_cannot_say(make_model):
    with pytest.raises(ModelMismatchError, match="train the model again"):
        require_distances(make_model(quantiles=False))
