"""The predictive check passes what the model generates, and sees what it does not."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.inference import generates_events, infer_posterior, predictive_check


@pytest.fixture
def model(gaussian_flow):
    events = SimpleNamespace(parameter_names=("a", "b"), observable_names=("x", "y"))
    metadata = SimpleNamespace(events=events, training={}, preset="gaussian")
    return SimpleNamespace(flow=gaussian_flow(2), metadata=metadata)


@pytest.fixture
def check(model, conjugate):
    """A function that checks events, by default those of the model itself."""

    def check(events=60, seed=0, change=lambda x: x, **options):
        exact = conjugate(events, dim=2, seed=seed)
        posterior = infer_posterior(model, change(exact.x), prior=exact.prior, method="grid")
        return predictive_check(model, posterior, **{"sets": 100, **options})

    return check


@pytest.mark.statistical
def test_events_of_the_model_pass(check):
    p = np.array([check(seed=seed).p_values for seed in range(25)])
    # The data are used twice: p-values are larger than uniform ones.
    assert (p < 0.05).mean() <= 0.02
    assert 0.5 < p.mean() < 0.95


def test_an_observable_of_another_shape_is_seen_and_no_other(check):
    def widen(x):
        x = x.copy()
        x[:, 1] = x[:, 1].mean() + 2.0 * (x[:, 1] - x[:, 1].mean())
        return x

    result = check(change=widen)
    assert result.p_values[1] < 0.02
    assert result.p_values[0] > 0.05
    assert result.p_value == pytest.approx(2 * result.p_values[1])


def test_an_outlier_is_in_the_histogram(check):
    def spoil(x):
        x = x.copy()
        x[0] = 1e3
        return x

    result = check(change=spoil)
    assert (result.observed.sum(axis=1) == 60).all()
    assert (result.observed[:, -1] >= 1).all()


def test_the_bands_hold_the_generated_sets(check):
    result = check()
    assert result.bands.shape == (2, 5, 30)
    assert (np.diff(result.bands, axis=1) >= 0).all()
    inside = (result.observed >= result.bands[:, 0]) & (result.observed <= result.bands[:, -1])
    assert inside.mean() > 0.85


def test_of_many_events_some_are_taken(check):
    result = check(events=300, max_events=50)
    assert (result.n_events, result.n_observed) == (50, 300)
    assert (result.observed.sum(axis=1) == 50).all()


def test_equal_seeds_give_equal_checks(model, conjugate):
    exact = conjugate(30, dim=2)
    posterior = infer_posterior(model, exact.x, prior=exact.prior, method="grid")
    one, two, other = (predictive_check(model, posterior, sets=40, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.bands, two.bands)
    assert not np.array_equal(one.bands, other.bands)


def test_what_cannot_be_checked_is_refused(check, model, conjugate):
    with pytest.raises(InputError, match="at least 20 generated sets"):
        check(sets=5)
    exact = conjugate(5, dim=2)
    posterior = infer_posterior(model, exact.x, prior=exact.prior, method="grid")
    model.metadata.events.observable_names = ("x", "z")
    with pytest.raises(ModelMismatchError, match="observables x, z"):
        predictive_check(model, posterior)


def test_a_posterior_of_some_of_the_parameters_generates_no_events(model, conjugate):
    """As where the others are known for each event, or of a model that generates none."""
    exact = conjugate(20, dim=2, seed=0)
    posterior = infer_posterior(model, exact.x, prior=exact.prior, method="grid")
    assert generates_events(model, posterior)
    other = dataclasses.replace(posterior, parameters=("a", "c"))
    assert not generates_events(model, other)
    with pytest.raises(ModelMismatchError, match=r"generates events at all parameters.* a, c"):
        predictive_check(model, other)
