"""Curves that no single chart covers."""

import math

import numpy as np
import pytest

from lfi_mflow.errors import UnknownNameError
from lfi_mflow.simulation import check_simulator
from lfi_mflow_simulators.curve import CURVES, Curve

each_curve = pytest.mark.parametrize("shape", CURVES)
PHI = np.array([[0.7]])


def walk(shape, count=40_000):
    """Middles and lengths of the chords along a curve, all components."""
    t = np.linspace(-math.pi, math.pi, count + 1)
    middles, lengths = [], []
    for line in CURVES[shape]:
        corners, inner = (
            np.stack([np.broadcast_to(v, p.shape) for v in line(p)], axis=1)
            for p in (t, 0.5 * (t[1:] + t[:-1]))
        )
        middles.append(inner)
        lengths.append(np.linalg.norm(np.diff(corners, axis=0), axis=1))
    return np.concatenate(middles), np.concatenate(lengths)


@each_curve
def test_conforms(shape):
    assert len(check_simulator(Curve(shape))) == 9


@each_curve
def test_the_density_of_a_curve_integrates_to_one(shape):
    x, lengths = walk(shape)
    density = np.exp(Curve(shape).log_prob(x, PHI))
    assert (density * lengths).sum() == pytest.approx(1.0, abs=2e-4)


@each_curve
def test_events_of_a_curve_follow_its_density(shape):
    """Mean and spread of the events against the integral over the curve."""
    x, lengths = walk(shape)
    mass = np.exp(Curve(shape).log_prob(x, PHI)) * lengths
    drawn = Curve(shape).simulate(np.tile(PHI, (40_000, 1)), np.random.default_rng(1)).x
    mean, spread = mass @ x, np.sqrt(mass @ x**2 - (mass @ x) ** 2)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * spread / 200 + 1e-12).all()
    np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.03, atol=1e-12)


@each_curve
def test_distances_are_those_to_the_nearest_point(shape):
    x, _ = walk(shape, 20_000)
    off = np.random.default_rng(2).normal(size=(50, 3))
    brute = np.linalg.norm(off[:, None] - x, axis=2).min(axis=1)
    np.testing.assert_allclose(Curve(shape).distance(off), brute, atol=1e-3)


def test_an_unknown_curve_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'helix'"):
        Curve("helx")
