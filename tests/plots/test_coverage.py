"""The coverage figure."""

from __future__ import annotations

import pytest

from lfi_mflow.closure import expected_coverage
from lfi_mflow.errors import DataError
from lfi_mflow.plots import coverage_figure, svg
from lfi_mflow.plots.style import EXACT, MODEL


@pytest.mark.parametrize(("shape", "colour"), [((1, 1), MODEL), ((2, 1), EXACT)])
def test_the_curve_is_the_coverage_and_red_outside_the_band(shape, colour, rng):
    counts = (100 * rng.beta(*shape, size=300)).astype(int)
    axes = coverage_figure({"highest density": counts}, 99).axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "model")
    z, coverage = line.get_data()
    assert (z[0], coverage[0], z[-1], coverage[-1]) == (0.0, 0.0, 1.0, 1.0)
    middle = len(z) // 2
    assert coverage[middle] == pytest.approx(expected_coverage(counts, 99, z[middle]).value)
    assert line.get_color() == colour


def test_a_panel_per_kind_of_regions(rng):
    counts = rng.integers(0, 100, 50)
    titles = ["highest density", "central, a", "central, b", "TARP"]
    figure = coverage_figure(dict.fromkeys(titles, counts), 99)
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    assert svg(figure) == svg(coverage_figure(dict.fromkeys(titles, counts), 99))


def test_nothing_to_draw_is_refused():
    with pytest.raises(DataError, match="one kind of regions"):
        coverage_figure({}, 99)
