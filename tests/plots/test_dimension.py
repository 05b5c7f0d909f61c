"""The figure of the estimates of the dimension."""

import numpy as np
import pytest

from lfi_mflow.geometry import Dimension, Estimate
from lfi_mflow.plots import dimension_figure, png


@pytest.fixture
def dimension():
    weights = np.array([0.1, 0.9, 0.0])
    spectrum = {"spectrum": [2.0, 0.9, 0.1, 0.0]}
    estimates = (
        Estimate("pca", 3.0, None, np.zeros(3), "rank", spectrum),
        Estimate("two-nn", 1.9, 0.1, np.zeros(3), "ratio"),
        Estimate("relations", 2.0, 0.0, np.zeros(3), "", {"widths": [0.5, 0.4, 1e-9]}),
        Estimate("reconstruction", 2.0, 0.3, np.zeros(3), "", {"errors": [1.7, 0.8, 0.01]}),
    )
    return Dimension(2, 0.3, weights, 3, 4, 1000, estimates)


def test_every_estimate_is_drawn_where_it_is(dimension):
    left, right = dimension_figure(dimension).axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "reconstruction",
        "relations",
        "two-nn",
        "pca",
    ]
    assert [bar.get_height() for bar in left.patches] == pytest.approx([0.42, 3.78, 0.0])
    curves = {line.get_label(): line.get_ydata() for line in right.lines}
    np.testing.assert_allclose(curves["principal axes"][:3], np.sqrt([2.0, 0.9, 0.1]))
    assert curves["relations between neighbours"][-1] == pytest.approx(5e-9, rel=1)
    np.testing.assert_allclose(curves["distance to autoencoders"], [1.7, 0.8, 0.01])


def test_the_figure_can_be_written_without_curves(dimension):
    bare = Dimension(2, 0.3, dimension.weights, 3, 4, 1000, dimension.estimates[1:2])
    assert png(dimension_figure(bare)).startswith(b"\x89PNG")
