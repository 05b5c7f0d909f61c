"""The calibration figure."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure.sbc import ecdf_band
from lfi_mflow.plots import sbc_figure
from lfi_mflow.plots.style import EXACT, MODEL


@pytest.mark.parametrize(("shape", "colour"), [((1, 1), MODEL), ((4, 4), EXACT)])
def test_sbc_curve_is_the_band_s_and_red_outside(shape, colour, rng):
    ranks = (100 * rng.beta(*shape, size=300)).astype(int)
    axes = sbc_figure(ranks[:, None], 99, ["a"]).axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "model")
    assert np.allclose(line.get_ydata()[1:-1], ecdf_band(ranks, 99).difference)
    assert line.get_color() == colour
