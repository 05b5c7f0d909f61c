"""The picture of an atlas."""

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.plots import atlas_figure, png


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("charts", [1, 3, 20])
def test_charts_and_overlaps_are_drawn(d, charts, rng):
    x = rng.normal(size=(60, d))
    numbers, overlap = np.arange(60) % charts, 1 + np.arange(60) % min(charts, 3)
    figure = atlas_figure(x, numbers, overlap, [f"x{i}" for i in range(d)])
    assert png(figure, 40).startswith(b"\x89PNG")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["Charts", "Overlaps"]
    drawn = [axes.collections[0] for axes in panels]
    np.testing.assert_array_equal(drawn[0].get_array(), numbers)
    np.testing.assert_array_equal(drawn[1].get_array(), overlap)
    colours = {tuple(colour) for colour in drawn[0].to_rgba(drawn[0].get_array())}
    assert len(colours) == charts


def test_numbers_of_another_shape_are_refused(rng):
    x = rng.normal(size=(5, 2))
    with pytest.raises(DataError, match=r"\(N, 3\)"):
        atlas_figure(x, np.zeros(5), np.ones(5), list("abc"))
    with pytest.raises(DataError, match="each of 5 points"):
        atlas_figure(x, np.zeros(4), np.ones(5), list("ab"))


def test_nothing_to_draw_says_so():
    figure = atlas_figure(np.zeros((0, 2)), np.zeros(0), np.zeros(0), list("ab"))
    assert "no points" in figure.texts[0].get_text()
