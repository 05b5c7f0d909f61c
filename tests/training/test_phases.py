"""Phases: validation, schedules, algorithms as data."""

import math

import pytest

from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.training import OBJECTIVES, Phase, sequential
from lfi_mflow.training.phases import learning_rate_factor


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("batch_size", -5),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("clip", 0.0),
        ("clip", math.nan),
        ("warm_up", -0.1),
        ("warm_up", 1.0),
        ("warm_up", math.nan),
        ("weight_decay", -1.0),
        ("weight_decay", math.nan),
        ("weight_decay", math.inf),
        ("patience", -1),
    ],
)
def test_values_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=f"{name}.*'warm'"):
        Phase(**{"name": "warm", "objective": "reconstruction", "epochs": 2, name: value})


def test_an_unknown_objective_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'reconstruction'"):
        Phase("chart", "reconstructon", 2)


def test_sequential_is_a_manifold_phase_and_a_density_phase():
    chart, latent = sequential(chart_epochs=3, latent_epochs=4, batch_size=77)
    assert (chart.objective, chart.epochs, chart.batch_size) == ("reconstruction", 3, 77)
    assert (latent.objective, latent.epochs, latent.batch_size) == ("latent-likelihood", 4, 77)
    assert OBJECTIVES[chart.objective].part == "chart"
    assert OBJECTIVES[latent.objective].part == "latent"


def test_the_rate_rises_and_falls_to_zero():
    assert learning_rate_factor(0.0, 0.1) == 0
    assert learning_rate_factor(0.05, 0.1) == pytest.approx(0.5, rel=0.01)
    assert learning_rate_factor(0.1, 0.1) == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)))
    assert learning_rate_factor(0.5, 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(1.0, 0.1) == pytest.approx(0, abs=1e-15)
    factors = [learning_rate_factor(i / 1000, 0.08) for i in range(1001)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert 0 <= min(factors) <= max(factors) <= 1


def test_without_warm_up_it_starts_at_the_peak():
    assert learning_rate_factor(0.0, 0.0) == 1
