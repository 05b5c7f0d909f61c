"""One look, no global state, and the same bytes every time."""

from __future__ import annotations

import copy

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from lfi_mflow.plots import (
    PointCloud,
    PosteriorCurve,
    corner_figure,
    name_label,
    png,
    posterior_figure,
    sbc_figure,
    surface_figure,
    svg,
    trace_figure,
    training_figure,
)


def _every_figure(rng, history):
    theta = np.linspace(-1, 1, 50)
    density = np.exp(-(theta**2))
    cloud = PointCloud("truth", rng.normal(size=(40, 3)), rng.normal(size=40), "log density")
    yield surface_figure([cloud], ["a", "b", "c"])
    yield training_figure(history)
    yield posterior_figure([PosteriorCurve(theta, density, 0.9 * density, 0.1, "set")], "theta")
    yield corner_figure(rng.normal(size=(200, 2)), ["a", "b"], truth=[0.0, 0.0])
    yield trace_figure(rng.normal(size=(3, 50, 2)), ["a", "b"])
    yield sbc_figure(rng.integers(0, 100, size=(60, 1)), 99, ["a"])


def test_figures_leave_the_global_settings_alone(rng, history):
    before = copy.deepcopy(dict(mpl.rcParams))
    for figure in _every_figure(rng, history):
        assert isinstance(figure, Figure)
        svg(figure)
    assert dict(mpl.rcParams) == before


def test_the_same_figure_gives_the_same_bytes(history):
    assert svg(training_figure(history)) == svg(training_figure(history))
    assert png(training_figure(history), 50) == png(training_figure(history), 50)


def test_labels_have_symbol_and_unit():
    assert name_label("m", r"m_Z", "GeV") == "$m_Z$ [GeV]"
    assert name_label("cost $") == r"cost \$"
