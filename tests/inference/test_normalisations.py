"""Factors on rates: a luminosity and the rates of backgrounds that are known to some per cent."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import save_model
from lfi_mflow.inference.experiment import CountingExperiment, DataSet
from lfi_mflow.inference.fit import maximise
from lfi_mflow.inference.limit_config import LimitConfig, ProcessConfig, build_experiment
from lfi_mflow.inference.normalisations import Normalisations
from lfi_mflow.inference.profile import profile
from lfi_mflow.inference.toys import draw_pool, make_table
from lfi_mflow.simulation import Prior, Uniform

PRIOR = Prior((Uniform(-1.0, 1.0), Uniform(-1.0, 1.0)))
COMPONENTS = (3.0, 1.0, 0.0, 0.5, 0.0, 0.2)
UNCERTAIN = LimitConfig(luminosity=10.0, luminosity_uncertainty=0.1, cross_section=COMPONENTS)


@pytest.fixture
def model(make_model):
    return make_model(p=2)


def test_factors_of_no_uncertainty_are_no_parameters():
    factors = Normalisations(2, {"background rate": 0.0, "luminosity": 0.3})
    assert factors.names == ("luminosity",)
    (constraint,) = factors.constraints
    assert (constraint.parameter, constraint.measured, constraint.width) == (2, 1.0, 0.3)
    np.testing.assert_allclose(np.concatenate(factors.ends), [0.0, 2.2])

    def rate(theta):
        return theta[..., 0].double()

    assert factors.scale(rate, "background rate") is rate
    scaled = factors.scale(rate, "background rate", "luminosity")
    assert scaled(torch.tensor([5.0, 0.0, 1.2])).item() == pytest.approx(6.0)


@pytest.mark.parametrize("width", [-0.1, 1.0, np.nan])
def test_an_uncertainty_is_a_share(width):
    with pytest.raises(ConfigError, match="relative uncertainty of luminosity"):
        Normalisations(1, {"luminosity": width})


def counting(width):
    """Counts alone, mu = 100 theta: the shape says nothing."""
    factors = Normalisations(1, {"luminosity": width})

    def rate(theta):
        return 100.0 * theta[..., 0].double()

    def flat(x):
        return lambda theta: theta.new_zeros(theta.shape[:-1])

    low, high = (np.append(end, extra) for end, extra in zip((0.2, 3.0), factors.ends, strict=True))
    return CountingExperiment(
        ("theta", *factors.names),
        low,
        high,
        flat,
        factors.scale(rate, "luminosity"),
        factors.constraints,
        factors=len(factors.names),
        beyond_shape=len(factors.names),
    )


@pytest.mark.parametrize("width", [0.0, 0.05, 0.2])
def test_its_uncertainty_adds_to_that_of_the_count(width):
    pytest.importorskip("iminuit")
    experiment = counting(width)
    density = experiment.log_likelihood(DataSet(np.zeros((121, 1))))
    best = maximise(density, experiment.low, experiment.high)
    assert best.theta[0] == pytest.approx(1.21, rel=1e-3)
    relative = np.sqrt(best.covariance[0, 0]) / best.theta[0]
    assert relative == pytest.approx(np.hypot(1 / 11, width), rel=0.01)


def test_the_best_factor_is_the_root_of_a_parabola():
    width, number = 0.2, 121
    experiment = counting(width)
    density = experiment.log_likelihood(DataSet(np.zeros((number, 1))))
    theta = torch.tensor([[0.8, 1.0], [1.0, 1.0], [1.6, 1.0]], dtype=torch.float64)
    found = profile(density, theta, (1,), np.array([width]), (experiment.low, experiment.high))[0]
    mu = 100.0 * theta[:, 0].numpy()
    # 0 = - mu + N / kappa - (kappa - 1) / s^2
    linear = mu * width**2 - 1.0
    exact = 0.5 * (np.sqrt(linear**2 + 4.0 * number * width**2) - linear)
    np.testing.assert_allclose(found[:, 1].numpy(), exact, rtol=2e-3)


def test_a_luminosity_with_an_uncertainty(model):
    experiment, source = build_experiment(model, PRIOR, UNCERTAIN)
    assert experiment.names == ("theta", "rho", "luminosity")
    assert (experiment.interest, experiment.nuisances) == ((0, 1), (2,))
    point = experiment.complete([1.0, 1.0])
    np.testing.assert_array_equal(point, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(experiment.complete([1.0, 1.0, 0.9]), [1.0, 1.0, 0.9])
    assert experiment.expected(point) == pytest.approx(47.0)
    assert experiment.expected([1.0, 1.0, 0.9]) == pytest.approx(0.9 * 47.0)
    x, _ = source(np.tile(point, (5, 1)), 1)
    known, bare = build_experiment(
        model, PRIOR, dataclasses.replace(UNCERTAIN, luminosity_uncertainty=0.0)
    )
    np.testing.assert_array_equal(x, bare(np.ones((5, 2)), 1)[0])
    theta = torch.tensor([[0.2, 0.3, 0.8]], dtype=torch.float64)
    shapes = [
        e.likelihood(torch.as_tensor(x))(theta[:, : len(e.names)]) for e in (experiment, known)
    ]
    torch.testing.assert_close(*shapes)


def test_what_the_shape_does_not_depend_on_costs_no_evaluation(model, monkeypatch):
    experiment, source = build_experiment(model, PRIOR, UNCERTAIN)
    axes = [
        torch.linspace(*ends, 3, dtype=torch.float64) for ends in ((-1, 1), (-1, 1), (0.7, 1.3))
    ]
    theta = torch.cartesian_prod(*axes)
    pool = draw_pool(source, experiment.likelihood, theta[:2].numpy(), size=60, seed=1)
    seen = []

    def counted(x):
        density = experiment.likelihood(x)

        def log_prob(points):
            seen.append(points.shape[-2])
            return density(points)

        return log_prob

    watched = dataclasses.replace(experiment, likelihood=counted)
    short = make_table(watched, pool, theta, 10).terms
    assert set(seen) == {9}
    whole = make_table(dataclasses.replace(experiment, beyond_shape=0), pool, theta, 10).terms
    # up to a number of each event
    torch.testing.assert_close(short - short[:, :1], whole - whole[:, :1], atol=2e-4, rtol=1e-3)


def test_backgrounds_with_an_uncertainty(model, tmp_path):
    save_model(model, tmp_path / "b.mflow")
    background = ProcessConfig(tmp_path / "b.mflow", (2.0,), uncertainty=0.2)
    config = dataclasses.replace(UNCERTAIN, processes={"background": background})
    experiment, source = build_experiment(model, PRIOR, config)
    assert experiment.names[2:] == ("background rate", "luminosity")
    assert (experiment.factors, experiment.beyond_shape) == (2, 1)
    assert experiment.expected([0.0, 0.0, 1.5, 0.9]) == pytest.approx(10.0 * 0.9 * (3.0 + 3.0))
    assert source(np.tile(experiment.complete([0.0, 0.0]), (4, 1)), 1)[0].shape[0] == 4


def test_a_parameter_of_the_model_keeps_its_name(make_model):
    model = make_model(p=2)
    events = dataclasses.replace(
        model.metadata.events,
        parameters=tuple(
            dataclasses.replace(parameter, name=name)
            for parameter, name in zip(
                model.metadata.events.parameters, ("theta", "luminosity"), strict=True
            )
        ),
    )
    model = dataclasses.replace(model, metadata=dataclasses.replace(model.metadata, events=events))
    with pytest.raises(ConfigError, match="without a parameter 'luminosity'"):
        build_experiment(model, PRIOR, UNCERTAIN)


def test_without_a_rate_there_is_no_luminosity_to_be_uncertain(model):
    config = LimitConfig(shape_only=True, luminosity_uncertainty=0.1)
    with pytest.raises(ConfigError, match="a luminosity with its uncertainty"):
        build_experiment(model, PRIOR, config)
