"""Posterior curves."""

from __future__ import annotations

import numpy as np

from lfi_mflow.plots import PosteriorCurve, posterior_figure


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
