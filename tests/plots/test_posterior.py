"""Posterior curves, corner and trace plots."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.plots import PosteriorCurve, corner_figure, posterior_figure, trace_figure


def test_posterior_panels_hold_the_curves():
    theta = np.linspace(0, 1, 5)
    curves = [
        PosteriorCurve(theta, theta, exact=2 * theta, truth=0.3, title="first"),
        PosteriorCurve(theta, theta),
    ]
    figure = posterior_figure(curves, "theta")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert np.array_equal(lines["model"].get_ydata(), theta)
    assert np.array_equal(lines["exact"].get_ydata(), 2 * theta)
    assert lines["truth"].get_xdata()[0] == 0.3
    assert [line.get_label() for line in figure.axes[1].get_lines()] == ["model"]


def test_corner_contours_hold_their_mass(rng):
    draws = rng.normal(size=(40_000, 2))
    axes = corner_figure(draws, ["a", "b"]).axes[1]
    outer, inner = (path.vertices for path in axes.collections[1].get_paths())
    # Radii of 95 % and 68 % of a normal in two dimensions, widened by the smoothing.
    assert np.hypot(*outer.T).mean() == pytest.approx(2.45, abs=0.15)
    assert np.hypot(*inner.T).mean() == pytest.approx(1.51, abs=0.15)


def test_corner_titles_are_median_and_errors():
    draws = np.linspace(-1.0, 1.0, 1001)[:, None]
    assert corner_figure(draws, ["a"]).axes[0].get_title(loc="right") == ("$0.00^{+0.68}_{-0.68}$")


@pytest.mark.parametrize("shape", [(10, 3), (1, 2), (10,)])
def test_draws_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="draws of shape"):
        corner_figure(np.zeros(shape), ["a", "b"])
    with pytest.raises(DataError, match="draws of shape"):
        trace_figure(np.zeros(shape), ["a", "b"])
