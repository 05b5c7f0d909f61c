"""Score and ratio of the polynomial surface: joint, marginal, and in a file."""

import json

import numpy as np
import pytest

from lfi_mflow.cli.main import main
from lfi_mflow.data import open_events
from lfi_mflow.errors import InputError
from lfi_mflow.simulation import HasJoint, check_simulator
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface


def events_at(theta, n=100_000):
    return PolynomialSurface(score=True).simulate(np.full((n, 1), theta), np.random.default_rng(3))


def test_conforms():
    check_simulator(PolynomialSurface(score=True))


def test_events_are_the_same_with_and_without():
    theta = np.linspace(-1.0, 1.0, 20_000)[:, None]
    without = PolynomialSurface().simulate(theta, np.random.default_rng(5))
    with_score = PolynomialSurface(score=True).simulate(theta, np.random.default_rng(5))
    np.testing.assert_array_equal(without.x, with_score.x)
    assert without.score is None
    assert with_score.score.shape == (20_000, 1)


@pytest.mark.parametrize("theta", [-0.9, 0.0, 0.8])
def test_marginal_score_is_the_derivative_of_log_prob(theta):
    simulator, step = PolynomialSurface(7), 1e-5
    x = simulator.surface(np.random.default_rng(0).normal(0.0, 2.0, (500, 2)))
    up, down = (simulator.log_prob(x, np.array([[theta + sign * step]])) for sign in (1, -1))
    score = simulator.log_prob_gradient(x, np.array([[theta]]))
    assert score.shape == (500, 1)
    assert np.ptp(score) > 0.5
    np.testing.assert_allclose(score[:, 0], (up - down) / 2 / step, atol=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [-0.9, 0.0, 0.8])
def test_joint_score_has_mean_zero_and_the_known_variance(theta):
    """Per narrow event the variance is 4 (s'/s)^2; 4.5 standard deviations, 1e-5 each."""
    score = events_at(theta).score[:, 0]
    assert abs(score.mean()) < 4.5 * score.std() / np.sqrt(len(score))
    expected = 0.4 * 4.0 * (0.4 / (0.6 + 0.4 * theta)) ** 2
    assert abs(np.mean(score**2) - expected) < 4.5 * np.std(score**2) / np.sqrt(len(score))
    assert np.mean(score == 0.0) == pytest.approx(0.6, abs=0.007)


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [-0.5, 0.8])
def test_mean_joint_score_given_x_is_the_marginal_score(theta):
    """E[(t - s(x)) h(x)] = 0 for any h; 4.5 standard deviations, 1e-5 for each of 6."""
    events = events_at(theta)
    marginal = PolynomialSurface().log_prob_gradient(events.x, events.theta)[:, 0]
    x0, x1 = events.x[:, 0], events.x[:, 1]
    for weight in (np.ones_like(x0), np.tanh(x0), np.cos(x0), np.cos(x1), np.sin(x1), marginal):
        difference = (events.score[:, 0] - marginal) * weight
        error = difference.std() / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4.5 * error
        assert error < 0.01
    assert marginal.std() > 0.2


def test_score_is_stored_and_read_back(tmp_path, capsys):
    path = tmp_path / "e.h5"
    options = ["-n", "300", "--seed", "1", "--set", "score=true", "-o", str(path)]
    assert main(["simulate", "polynomial-surface", *options]) == 0
    capsys.readouterr()
    assert main(["info", str(path), "--json"]) == 0
    assert "score" in json.loads(capsys.readouterr().out)["arrays"]
    with open_events(path) as file:
        events = file.read()
    assert events.score.shape == (300, 1)
    # a broad event has none; a narrow one has that of its own place
    y0, y1, _ = PolynomialSurface().rotation.T @ events.x.astype(float).T
    sd = 0.6 + 0.4 * events.theta[:, 0].astype(float)
    narrow = 0.4 * (((y0 + 1.0) ** 2 + (y1 - 1.0) ** 2) / sd**3 - 2.0 / sd)
    drawn = events.score[:, 0] != 0.0
    assert 0.25 < drawn.mean() < 0.55
    np.testing.assert_allclose(events.score[drawn, 0], narrow[drawn], atol=1e-3, rtol=1e-3)


def test_joint_ratios_are_asked_for():
    theta = np.linspace(-1.0, 1.0, 20_000)[:, None]
    gold = PolynomialSurface(reference=-1)
    check_simulator(gold)
    assert gold.joint_reference == (-1.0,)
    assert not isinstance(PolynomialSurface(score=True), HasJoint)
    with_score, with_ratio = (
        simulator.simulate(theta, np.random.default_rng(5))
        for simulator in (PolynomialSurface(score=True), gold)
    )
    assert with_score.log_ratio is None
    np.testing.assert_array_equal(with_score.x, with_ratio.x)
    np.testing.assert_array_equal(with_score.score, with_ratio.score)
    for reference in (1.5, np.nan):
        with pytest.raises(InputError, match="a reference theta from -1 to 1"):
            PolynomialSurface(reference=reference)


def test_the_joint_ratio_has_the_joint_score_as_its_slope():
    """The same events at theta and a little beside it: seen as a function of theta."""
    step, theta = 1e-5, 0.3
    up, down, here = (
        PolynomialSurface(reference=reference).simulate(
            np.full((500, 1), theta), np.random.default_rng(1)
        )
        for reference in (theta + step, theta - step, theta)
    )
    np.testing.assert_array_equal(here.log_ratio, 0.0)
    slope = (down.log_ratio - up.log_ratio) / (2 * step)
    np.testing.assert_allclose(slope, here.score[:, 0], atol=1e-5)


@pytest.mark.statistical
@pytest.mark.parametrize(("theta", "reference"), [(-0.5, -1.0), (0.8, -1.0), (0.8, 0.3)])
def test_mean_inverse_joint_ratio_given_x_is_the_marginal_one(theta, reference):
    """E[(1/r(x, z) - 1/r(x)) h(x)] = 0 for any h; 4.5 standard deviations, 1e-5 for each."""
    simulator = PolynomialSurface(reference=reference)
    events = simulator.simulate(np.full((100_000, 1), theta), np.random.default_rng(3))
    below, above = (simulator.log_prob(events.x, np.array([[t]])) for t in (reference, theta))
    marginal, joint = np.exp(below - above), np.exp(-events.log_ratio)
    for values in (joint, marginal):  # normalised
        assert abs(values.mean() - 1) < 4.5 * values.std() / np.sqrt(len(values))
    x0, x1 = events.x[:, 0], events.x[:, 1]
    for weight in (np.tanh(x0), np.cos(x0), np.cos(x1), np.sin(x1), marginal):
        difference = (joint - marginal) * weight
        error = difference.std() / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4.5 * error
        assert error < 0.05
    assert np.mean(events.log_ratio == 0.0) == pytest.approx(0.6, abs=0.01)
