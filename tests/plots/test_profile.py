"""Marginal and profile of each parameter."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.plots import profile_figure
from lfi_mflow.plots.profile import profile_of_draws


def test_the_profile_of_a_normal_is_its_marginal(rng):
    draws = rng.normal(size=(20_000, 2))
    theta, best = profile_of_draws(draws[:, 0], -0.5 * (draws**2).sum(axis=1))
    core = np.abs(theta) < 2.0
    np.testing.assert_allclose(best[core], -0.5 * theta[core] ** 2, atol=0.15)
    assert best.max() == 0.0


def test_a_funnel_has_a_profile_that_is_not_its_marginal(rng):
    # Where a is small b is narrow and the density high; the marginal of a knows nothing of it.
    a = rng.normal(size=40_000)
    b = np.exp(a) * rng.normal(size=40_000)
    log_prob = -0.5 * a**2 - 0.5 * (b / np.exp(a)) ** 2 - a
    theta, best = profile_of_draws(a, log_prob)
    assert theta[best.argmax()] == pytest.approx(-1.0, abs=0.4)


def test_the_figure_holds_both_curves_and_the_truth(rng):
    draws = rng.normal(size=(2_000, 3))
    log_prob = -0.5 * (draws**2).sum(axis=1)
    figure = profile_figure(draws, log_prob, list("abc"), truth=[0.1, 0.2, 0.3])
    assert [axes.get_xlabel() for axes in figure.axes] == list("abc")
    for axes, truth in zip(figure.axes, (0.1, 0.2, 0.3), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert lines["truth"].get_xdata()[0] == truth
        assert lines["marginal"].get_ydata().max() == 1.0
        assert lines["profile"].get_ydata().max() == 1.0


@pytest.mark.parametrize("size", [9, 11])
def test_log_prob_of_another_shape_is_refused(size):
    with pytest.raises(DataError, match="the same shape"):
        profile_figure(np.zeros((10, 1)), np.zeros(size), ["a"])
