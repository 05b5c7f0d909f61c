"""Figures: records in, ``matplotlib.figure.Figure`` out; no global state."""

from lfi_mflow.plots.coverage import coverage_figure
from lfi_mflow.plots.limits import contour_figure, profile_figure
from lfi_mflow.plots.posterior import (
    PosteriorCurve,
    corner_figure,
    posterior_figure,
    trace_figure,
)
from lfi_mflow.plots.samples import SampleRow, samples_figure
from lfi_mflow.plots.sbc import sbc_figure
from lfi_mflow.plots.style import name_label, png, svg
from lfi_mflow.plots.surface import PointCloud, surface_figure
from lfi_mflow.plots.training import training_figure

__all__ = [
    "PointCloud",
    "PosteriorCurve",
    "SampleRow",
    "contour_figure",
    "corner_figure",
    "coverage_figure",
    "name_label",
    "png",
    "posterior_figure",
    "profile_figure",
    "samples_figure",
    "sbc_figure",
    "surface_figure",
    "svg",
    "trace_figure",
    "training_figure",
]
