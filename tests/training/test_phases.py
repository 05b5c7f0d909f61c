"""Phases: validation, schedules, algorithms as data."""

import dataclasses
import math

import pytest

from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.training import (
    ALGORITHMS,
    OBJECTIVES,
    Phase,
    adversarial,
    alice,
    alices,
    alternating,
    bnre,
    density,
    elbo,
    nre_a,
    nre_c,
    penalised,
    scandal,
    sequential,
    simultaneous,
    transport,
    transport_alternating,
)
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


def test_an_unknown_optimiser_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'soap'"):
        Phase("chart", "reconstruction", 2, optimiser="sopa")


def test_sequential_is_a_manifold_phase_and_a_density_phase():
    chart, latent = sequential(chart_epochs=3, latent_epochs=4, batch_size=77)
    assert (chart.objective, chart.epochs, chart.batch_size) == ("reconstruction", 3, 77)
    assert (latent.objective, latent.epochs, latent.batch_size) == ("latent-likelihood", 4, 77)
    assert OBJECTIVES[chart.objective].part == "chart"
    assert OBJECTIVES[latent.objective].part == "latent"


@pytest.mark.parametrize("name", ["nre-a", "nre-c", "bnre", "alice", "alices"])
def test_ratio_estimators_are_trained_in_one_phase(name):
    (phase,) = ALGORITHMS[name]()
    assert (phase.name, phase.objective) == ("ratio", name)
    (phase,) = {"nre-a": nre_a, "nre-c": nre_c, "bnre": bnre, "alice": alice, "alices": alices}[
        name
    ](epochs=3, batch_size=77)
    assert (phase.epochs, phase.batch_size) == (3, 77)


def test_alternating_is_rounds_of_both_phases():
    phases = alternating(rounds=3, chart_epochs=2, latent_epochs=5, batch_size=77)
    assert [phase.name for phase in phases[:4]] == ["chart 1", "latent 1", "chart 2", "latent 2"]
    assert len(phases) == 6
    for offset, (pattern, epochs) in enumerate(zip(sequential(), (2, 5), strict=True)):
        mine = phases[offset::2]
        assert {phase.objective for phase in mine} == {pattern.objective}
        assert {(phase.epochs, phase.batch_size) for phase in mine} == {(epochs, 77)}
        rates = [phase.learning_rate for phase in mine]
        assert rates[0] == pattern.learning_rate
        assert rates == sorted(rates, reverse=True)
        assert 0 < rates[-1] < 0.5 * rates[0]


def test_alternating_costs_as_much_as_sequential():
    totals = [
        [sum(p.epochs for p in phases if p.objective == name) for name in OBJECTIVES]
        for phases in (sequential(), alternating())
    ]
    assert totals[0] == totals[1]


def test_scandal_is_sequential_with_another_teacher():
    chart, latent = scandal(chart_epochs=3, latent_epochs=4, batch_size=77)
    manifold, density_phase = sequential(3, 4, 77)
    assert chart == manifold
    assert latent == dataclasses.replace(density_phase, objective="scandal")


def test_transport_alternates_with_the_density():
    phases = transport_alternating(rounds=3, transport_epochs=2, latent_epochs=5)
    assert [phase.objective for phase in phases] == ["transport", "latent-likelihood"] * 3
    assert [phase.epochs for phase in phases] == [2, 5] * 3
    assert phases[-1].learning_rate < phases[1].learning_rate


@pytest.mark.parametrize("rounds", [0, -1])
@pytest.mark.parametrize("algorithm", [alternating, transport_alternating])
def test_rounds_that_cannot_be(algorithm, rounds):
    with pytest.raises(ConfigError, match="at least one round"):
        algorithm(rounds)


def test_a_batch_too_small_for_transport():
    with pytest.raises(ConfigError, match=r"batch_size >= 100 in phase 'a'.*found 99; raise it"):
        Phase("a", "transport", 1, batch_size=99)


@pytest.mark.parametrize(
    ("algorithm", "objective", "part"),
    [
        (density, "latent-likelihood", "latent"),
        (simultaneous, "likelihood", "all"),
        (penalised, "penalised-likelihood", "all"),
        (transport, "transport", "all"),
        (elbo, "elbo", "all"),
        (adversarial, "adversarial", "all"),
    ],
)
def test_algorithms_of_one_phase(algorithm, objective, part):
    (phase,) = algorithm(epochs=3, batch_size=177)
    assert (phase.objective, phase.epochs, phase.batch_size) == (objective, 3, 177)
    assert OBJECTIVES[objective].part == part


def test_the_phases_of_an_algorithm_can_be_told_apart():
    for make in ALGORITHMS.values():
        names = [phase.name for phase in make()]
        assert len(set(names)) == len(names)


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
