"""The prior of an inference."""

import pytest

from lfi_mflow.cli.priors import inference_prior
from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.simulation import Normal, Observable, Parameter, Prior, Uniform


def events(*marginals, low=-5.0, high=5.0):
    prior = Prior(marginals).to_table() if marginals else None
    return EventMetadata((Parameter("a", low, high),), (Observable("x"),), prior=prior)


def test_it_is_that_of_the_training_events():
    assert inference_prior(events(Uniform(0.0, 2.0)), None) == Prior((Uniform(0.0, 2.0),))


def test_without_one_it_is_uniform_within_the_bounds():
    assert inference_prior(events(), None) == Prior((Uniform(-5.0, 5.0),))


def test_without_bounds_it_has_to_be_given():
    unbounded = events(low=-float("inf"), high=float("inf"))
    with pytest.raises(ConfigError, match="--prior"):
        inference_prior(unbounded, None)
    assert inference_prior(unbounded, "normal(0, 2)") == Prior((Normal(0.0, 2.0),))


def test_the_user_may_narrow_it():
    narrow = inference_prior(events(Uniform(0.0, 2.0)), "a ~ uniform(0.5, 1)")
    assert narrow == Prior((Uniform(0.5, 1.0),))


@pytest.mark.parametrize("text", ["uniform(-1, 1)", "uniform(1, 3)", "normal(1, 0.1)"])
def test_the_user_may_not_widen_it(text):
    with pytest.raises(InputError, match=r"within \[0, 2\]"):
        inference_prior(events(Uniform(0.0, 2.0)), text)


def test_without_training_prior_the_bounds_hold():
    with pytest.raises(InputError, match=r"within \[-5, 5\]"):
        inference_prior(events(), "uniform(-6, 1)")
