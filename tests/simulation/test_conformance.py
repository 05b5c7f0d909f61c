import random

import numpy as np
import pytest

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.simulation import (
    Events,
    Normal,
    Observable,
    Parameter,
    Prior,
    Uniform,
    check_simulator,
)


class Good:
    """Normal on a line in the plane."""

    name = "good"
    parameters = (Parameter("mean", -1.0, 1.0),)
    observables = (Observable("a"), Observable("b"))
    manifold_dim: int | None = 1

    def simulate(self, theta, rng):
        u = rng.normal(theta[:, 0])
        return Events(theta=theta, x=np.stack([u, 2.0 * u], axis=1))

    def log_prob(self, x, theta):
        return -0.5 * (x[:, 0] - theta[:, 0]) ** 2 - 0.5 * np.log(2.0 * np.pi * 5.0)

    def distance(self, x):
        return np.abs(x[:, 1] - 2.0 * x[:, 0]) / np.sqrt(5.0)

    def perturb(self, x, rng):
        return x + 0.1 * rng.normal(size=x.shape)


def with_simulate(function):
    """Return Good with another simulate(theta, rng)."""
    return type("Other", (Good,), {"simulate": lambda _, theta, rng: function(theta, rng)})()


def with_x(function):
    """Return Good with its features changed."""

    def simulate(theta, rng):
        events = Good().simulate(theta, rng)
        return Events(theta=theta, x=function(events.x))

    return with_simulate(simulate)


def other(**attributes):
    return type("Other", (Good,), attributes)()


def with_nan(x):
    x[3, 1] = np.nan
    return x


def in_place(theta, rng):
    theta += 0.1
    return Good().simulate(theta, rng)


def global_numpy(theta, rng):
    u = np.random.normal(size=len(theta)) + theta[:, 0]  # noqa: NPY002, RUF100
    return Events(theta=theta, x=np.stack([u, 2.0 * u], axis=1))


def global_random(theta, rng):
    random.random()
    return Good().simulate(theta, rng)


def own_generator(theta, rng):
    return Good().simulate(theta, np.random.default_rng())


def fixed_generator(theta, rng):
    return Good().simulate(theta, np.random.default_rng(1))


def first_row(theta, rng):
    events = Good().simulate(np.broadcast_to(theta[:1], theta.shape), rng)
    return Events(theta=theta, x=events.x)


def no_single_event(theta, rng):
    n = max(len(theta), 2)
    return Events(theta=np.resize(theta, (n, 1)), x=rng.normal(size=(n, 2)) + theta[:1])


def other_theta(theta, rng):
    return Events(theta=theta + 1.0, x=Good().simulate(theta, rng).x)


def weights_only(theta, rng):
    """Weighted events: the same places for all theta."""
    u = rng.normal(size=len(theta))
    x = np.stack([u, 2.0 * u], axis=1)
    return Events(theta=theta, x=x, weight=np.exp(u * theta[:, 0]))


def bad_weight(theta, rng):
    events = weights_only(theta, rng)
    return Events(theta=theta, x=events.x, weight=events.weight * np.inf)


def constant_weight(theta, rng):
    events = weights_only(theta, rng)
    return Events(theta=theta, x=events.x, weight=np.ones(len(theta)))


def gold(theta, rng):
    """Good, with the joint ratio to mean = 0 and the score of u."""
    events = Good().simulate(theta, rng)
    u, mean = events.x[:, :1], theta
    return Events(
        theta=theta, x=events.x, log_ratio=(u * mean - 0.5 * mean**2)[:, 0], score=u - mean
    )


def with_all(**attributes):
    """Return Good with all the other capabilities."""
    known = {
        "simulate": lambda _, theta, rng: gold(theta, rng),
        "log_ratio": lambda _, x, theta, reference: (
            x[:, :1] * (theta - reference) - 0.5 * (theta**2 - reference**2)
        )[:, 0],
        "joint_reference": (0.0,),
        "cross_section": lambda _, theta: 2.0 + theta[:, 0],
    }
    return other(**(known | attributes))


def without_score(theta, rng):
    events = gold(theta, rng)
    return Events(theta=theta, x=events.x, log_ratio=events.log_ratio)


def test_a_good_simulator_passes():
    lines = check_simulator(Good())
    topics = [line.partition(":")[0] for line in lines]
    assert topics == [
        "description",
        "shapes",
        "values",
        "one event",
        "determinism",
        "rows of theta",
        "log_prob",
        "distance",
        "perturb",
    ]


def test_every_capability_is_checked():
    topics = [line.partition(":")[0] for line in check_simulator(with_all())]
    assert topics[6:] == [
        *("log_prob", "log_ratio", "joint", "cross_section", "distance", "perturb"),
    ]


def test_weighted_events_may_lie_at_the_same_places_for_all_theta():
    assert check_simulator(with_simulate(weights_only))


def test_capabilities_are_optional():
    class Plain:
        name, parameters, manifold_dim = "plain", (), None
        observables = Good.observables

        def simulate(self, theta, rng):
            return Events(theta=theta, x=rng.normal(size=(len(theta), 2)).astype("float32"))

    lines = check_simulator(Plain(), n=2)
    assert len(lines) == 6
    assert "finite float32" in lines[2]


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (object(), "a simulator"),
        (other(name=""), "a name"),
        (other(parameters=[Parameter("a", 0.0, 1.0)]), "parameters as a tuple"),
        (other(parameters=("a",)), "as a tuple of Parameter"),
        (other(observables=()), "at least one observable"),
        (other(observables=(Observable("a"), Observable("a"))), "observables of different names"),
        (other(parameters=(Parameter("a", 1.0, 0.0),)), "a with low < high"),
        (other(manifold_dim=3), "a manifold_dim from 1 to 2, or None, found 3"),
        (with_simulate(lambda theta, rng: rng.normal(theta)), "Events from simulate"),
        (with_x(lambda x: x[:, :1]), r"x of shape \(64, 2\), found \(64, 1\)"),
        (with_x(lambda x: x.astype("float16")), "found float16"),
        (with_x(with_nan), "finite values of b, found 1 of 64"),
        (with_x(lambda x: x * [1.0, 0.0]), "values of b that vary, found 0 in all 64 events"),
        (with_simulate(other_theta), "the theta that was given"),
        (with_simulate(in_place), "theta left as it was"),
        (with_simulate(global_numpy), "a global generator"),
        (with_simulate(global_random), "a global generator"),
        (with_simulate(own_generator), "the same x from the same generator state"),
        (with_simulate(fixed_generator), "other events from another generator state"),
        (with_simulate(first_row), r"use theta\[:, j\]"),
        (with_simulate(no_single_event), r"x of shape \(1, 2\) for one row"),
        (other(log_prob=lambda _, x, theta: x[:, :1]), r"log_prob of shape \(64,\)"),
        (other(log_prob=lambda _, x, theta: np.log(x[:, 0] * 0.0)), "a finite log_prob"),
        (with_simulate(bad_weight), "a finite weight"),
        (with_simulate(constant_weight), "events and weights that do not change"),
        (with_all(log_ratio=lambda _, x, theta, reference: theta + x), r"log_ratio of shape"),
        (with_all(log_ratio=lambda _, x, theta, reference: x[:, 0]), "changes its sign"),
        (with_all(joint_reference=(0.0, 0.0)), "1 numbers in joint_reference, found 2"),
        (
            with_all(simulate=lambda _, theta, rng: without_score(theta, rng)),
            r"a finite score of shape \(64, 1\) in the events, found none",
        ),
        (with_all(cross_section=lambda _, theta: theta[:, 0]), "positive cross-sections"),
        (with_all(cross_section=lambda _, theta: theta), "cross_section of shape"),
        (with_x(lambda x: x + 0.01), "own events within"),
        (other(perturb=lambda _, x, rng: x[:, :1]), r"shape \(64, 2\) from perturb"),
        (other(perturb=lambda _, x, rng: 2.0 * x), "farther from the manifold"),
        (other(kinematic_closure=lambda _, x: x), "kinematic_closure of shape"),
        (other(kinematic_closure=lambda _, x: x[:, 0] ** 2), "from 0 to 0.01 of own events"),
        (other(rates=np.ones(2)), "3 finite numbers in rates"),
        (other(test_points=((0.0, 1.0),)), "test_points with 1 numbers each"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_broken_rules_are_found(simulator, message):
    with pytest.raises(InputError, match=message):
        check_simulator(simulator)


def test_unbounded_parameters_need_a_prior():
    unbounded = other(parameters=(Parameter("mean"),))
    with pytest.raises(ConfigError, match="a prior for the unbounded parameter 'mean'"):
        check_simulator(unbounded)
    assert check_simulator(unbounded, prior=Prior((Normal(0.0, 1.0),)))
    with pytest.raises(InputError, match="within"):
        check_simulator(Good(), prior=Prior((Uniform(-3.0, 3.0),)))


def test_too_few_events():
    with pytest.raises(InputError, match="at least 2 events"):
        check_simulator(Good(), n=1)


def test_the_global_generators_are_left_alone():
    before = random.getstate()
    check_simulator(Good())
    assert random.getstate() == before
