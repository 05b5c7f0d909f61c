import json
import math

import numpy as np
import pytest

from lfi_mflow.inference.exact import exact_likelihood
from lfi_mflow.inference.experiment import Constraint, DataSet, asimov_data
from lfi_mflow.inference.limits import Sensitivity, Toys, credible_intervals, find_limits
from lfi_mflow.inference.neyman import NeymanSettings
from lfi_mflow.simulation import Prior, Uniform

pytest.importorskip("iminuit")


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(0.4, 1.0, (25, 1))


def toys(experiment, source, **sizes):
    settings = NeymanSettings(**{"toys": 400, "pool": 5_000, "stride": 10, **sizes})
    return Toys(source, experiment.likelihood, settings=settings)


def test_limits_of_a_normal_mean_are_those_of_the_textbook(counting, normal_events, x):
    experiment = counting()
    found = find_limits(experiment, DataSet(x), toys=toys(experiment, normal_events, toys=2_000))
    row = found.parameters["theta"]
    assert row["best_fit"] == pytest.approx(x.mean(), abs=1e-3)
    assert row["error"] == pytest.approx(0.2, rel=1e-2)
    for level, pulls in (("68", 0.99446), ("95", 1.95996)):
        exact = [x.mean() - 0.2 * pulls, x.mean() + 0.2 * pulls]
        assert row["minos"][level] == pytest.approx(exact, abs=2e-3)
        assert row["asymptotic"][level][0] == pytest.approx(exact, abs=5e-3)
        assert row["neyman"][level][0] == pytest.approx(exact, abs=0.04)
    assert found.region == {}
    assert found.toys["number"] == 2_000
    assert found.toys["pool_effective_size"] > 1_000
    assert found.data["expected"] == pytest.approx(20.0)


def test_everything_is_reproducible_and_json(counting, normal_events, x):
    experiment = counting()
    records = [
        json.dumps(
            find_limits(
                experiment, DataSet(x), toys=toys(experiment, normal_events, seed=seed, toys=50)
            ).to_table()["parameters"]
        )
        for seed in (1, 1, 2)
    ]
    assert records[0] == records[1] != records[2]


def test_asimov_limits_are_those_of_the_information(counting, normal_events):
    experiment = counting([20.0, 8.0, 0.0])
    data = asimov_data(experiment, normal_events, [0.5], sample=20_000, seed=1)
    found = find_limits(
        experiment, data, sensitivity=Sensitivity(normal_events, theta=np.array([0.5]))
    )
    row = found.parameters["theta"]
    exact = 1 / math.sqrt(24.0 + 8.0**2 / 24.0)
    assert row["best_fit"] == pytest.approx(0.5, abs=4 * math.sqrt(24 / 20_000) * exact)
    assert row["error"] == pytest.approx(exact, rel=0.02)
    assert found.information["errors"]["theta"] == pytest.approx(exact, rel=0.02)
    assert found.data["effective_sample_size"] == pytest.approx(20_000)


def test_a_nuisance_parameter_widens_the_interval(counting, normal_events, x):
    """A rate of 20 exp(theta), nearly, times an unknown factor."""
    intervals = []
    for width in (0.01, 0.5):
        experiment = counting(
            [20.0, 0.0, 20.0, 0.0, 0.0, 5.0],
            ("theta", "nu"),
            constraints=(Constraint(1, 0.0, width),),
        )
        row = find_limits(experiment, DataSet(x)).nuisances["nu"]
        intervals.append(row["error"])
        assert row["measured"] == 0.0
    assert intervals[0] == pytest.approx(0.01, rel=0.01)
    assert 0.15 < intervals[1] < 0.25  # the number of events knows it to 1 / sqrt(25)


def test_two_parameters_have_a_region(counting, normal_events, x):
    experiment = counting([25.0, 0, 20.0, 0, 0, 5.0], ("theta", "rate"), width=1.5)
    found = find_limits(
        experiment, DataSet(x), toys=toys(experiment, normal_events, toys=50, stride=10)
    )
    assert np.shape(found.region["statistic"]) == (31, 31)
    assert found.region["critical"]["asymptotic"]["68"] == pytest.approx(2.279, abs=1e-3)
    assert np.shape(found.region["critical"]["neyman"]["95"]) == (31, 31)
    assert list(found.parameters) == ["theta", "rate"]


def test_the_exact_information_stands_beside_that_of_the_model(counting, normal_events, x):
    class Simulator:
        def log_prob(self, x, theta):
            return -0.5 * (x[:, 0] - theta[:, 0]) ** 2

    found = find_limits(
        counting(),
        DataSet(x),
        sensitivity=Sensitivity(normal_events, exact_likelihood(Simulator())),
    ).information
    assert found["kinematics"] == pytest.approx(found["exact_kinematics"], rel=1e-6)


def test_marginalised_and_profiled_nuisances_agree_where_all_is_normal(counting, x):
    experiment = counting(None, ("theta", "nu"), constraints=(Constraint(1, 0.0, 0.3),))
    prior = Prior((Uniform(-3.0, 3.0), Uniform(-3.0, 3.0)))
    found = credible_intervals(experiment, DataSet(x), prior, seed=1)["theta"]
    assert found["mean"] == pytest.approx(x.mean(), abs=0.02)
    assert found["sd"] == pytest.approx(0.2, rel=0.06)
    assert found["95"] == pytest.approx([x.mean() - 0.392, x.mean() + 0.392], abs=0.05)
