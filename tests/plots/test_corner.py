"""Corner plots and contours."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lfi_mflow.errors import DataError
from lfi_mflow.plots import contour_figure, corner_figure


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


def test_the_corner_says_which_regions_it_shows(rng):
    draws = rng.normal(size=(500, 3))
    figure = corner_figure(draws, list("abc"), truth=[0, 0, 0], other=("all events", draws + 1))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[0] == "68 % and 95 % highest density"
    assert words[2:] == ["all events", "truth"]


def test_another_posterior_is_not_cut_off(rng):
    draws = rng.normal(size=(500, 2))
    figure = corner_figure(draws, ["a", "b"], other=("all events", draws + 9.0))
    assert figure.axes[1].get_xlim()[1] > 10.0
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_a_truth_outside_the_draws_is_shown(rng):
    figure = corner_figure(rng.normal(size=(500, 1)), ["a"], truth=[8.0])
    assert figure.axes[0].get_xlim()[1] > 8.0


def test_every_pair_has_its_panel(rng):
    draws = rng.normal(size=(300, 4))
    figure = contour_figure({"one": draws, "two": draws + 0.5}, list("abcd"))
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    assert "highest density" in legend.get_title().get_text()


def test_one_parameter_has_no_contours(rng):
    figure = contour_figure({"one": rng.normal(size=(300, 1))}, ["a"])
    assert "two parameters" in figure.texts[0].get_text()


@pytest.mark.parametrize("p", [1, 2, 5])
def test_no_label_is_cut_off(rng, p):
    scale = np.array([1.0, 1e-4, 300.0, 1e4, 1.0])[:p]
    figure = corner_figure(scale * rng.normal(size=(400, p)), ["a long name [GeV]"] * p)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    inside = figure.bbox.padded(1.0)
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        assert inside.contains(box.x0, box.y0)
        assert inside.contains(box.x1, box.y1)


@pytest.mark.parametrize("shape", [(10, 3), (1, 2), (10,)])
def test_draws_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="draws of shape"):
        corner_figure(np.zeros(shape), ["a", "b"])
    with pytest.raises(DataError, match="draws of shape"):
        contour_figure({"one": np.zeros(shape)}, ["a", "b"])
