"""Traces of chains and their ranks."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.plots import trace_figure


def test_each_parameter_has_its_trace_and_its_ranks(rng):
    figure = trace_figure(rng.normal(size=(12, 100, 2)), ["a", "b"], max_chains=5)
    traces, ranks = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_ylabel() for axes in traces] == ["a", "b"]
    assert "5 of 12 chains" in traces[0].get_title(loc="left")
    assert len(traces[0].get_lines()) == 6  # the chains and their median
    assert len(ranks) == 2


def test_a_chain_that_is_elsewhere_leaves_the_band_of_ranks(rng):
    chains = rng.normal(size=(4, 200, 1))
    chains[3] += 3.0

    def outside(sample):
        axes = trace_figure(sample, ["a"]).axes[1]
        band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        counts = np.concatenate([p.get_data().values for p in axes.patches[1:]])
        return ((counts < band.y0) | (counts > band.y1)).mean()

    assert outside(chains) > 0.2
    assert outside(rng.normal(size=(4, 200, 1))) < 0.06


@pytest.mark.parametrize("shape", [(10, 3), (2, 10, 3), (2, 1, 2), (10,)])
def test_draws_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="draws of shape"):
        trace_figure(np.zeros(shape), ["a", "b"])
