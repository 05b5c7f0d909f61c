import dataclasses

import numpy as np
import pytest

from lfi_mflow import simulation
from lfi_mflow.simulation import (
    Events,
    HasJoint,
    HasLikelihood,
    HasLogRatio,
    HasManifold,
    HasRate,
    Observable,
    Parameter,
    Simulator,
)


class Minimal:
    name = "minimal"
    parameters = (Parameter("a"),)
    observables = (Observable("x"),)
    manifold_dim = None

    def simulate(self, theta, rng):
        return Events(theta=theta, x=rng.normal(theta))


class WithLikelihood(Minimal):
    def log_prob(self, x, theta):
        return -0.5 * np.sum((x - theta) ** 2, axis=1)


class WithManifold(Minimal):
    def distance(self, x):
        return np.zeros(len(x))

    def perturb(self, x, rng):
        return x + rng.normal(size=x.shape)


def test_a_simulator_inherits_nothing():
    assert isinstance(Minimal(), Simulator)
    assert not isinstance(object(), Simulator)


class WithGold(Minimal):
    joint_reference = (0.0,)

    def log_ratio(self, x, theta, reference):
        return np.sum((x - 0.5 * (theta + reference)) * (theta - reference), axis=1)

    def cross_section(self, theta):
        return np.exp(theta[:, 0])


@pytest.mark.parametrize("capability", [HasLogRatio, HasJoint, HasRate])
def test_ratio_gold_and_rate_are_capabilities_of_their_own(capability):
    assert isinstance(WithGold(), capability)
    assert not isinstance(WithLikelihood(), capability)
    assert not isinstance(WithGold(), HasLikelihood)


@pytest.mark.parametrize(
    ("simulator", "likelihood", "manifold"),
    [(Minimal(), False, False), (WithLikelihood(), True, False), (WithManifold(), False, True)],
)
def test_capabilities_are_found_by_their_methods(simulator, likelihood, manifold):
    assert isinstance(simulator, HasLikelihood) == likelihood
    assert isinstance(simulator, HasManifold) == manifold


def test_a_parameter_is_unbounded_unless_said_otherwise():
    parameter = Parameter("a")
    assert (parameter.low, parameter.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("item", [Parameter("a"), Observable("a")])
def test_descriptions_cannot_be_changed(item):
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.name = "b"


def test_exported_names_exist():
    assert sorted(simulation.__all__) == simulation.__all__
    for name in simulation.__all__:
        assert getattr(simulation, name) is not None
