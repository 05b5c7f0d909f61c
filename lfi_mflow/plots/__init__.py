"""Figures: records in, ``matplotlib.figure.Figure`` out; no global state."""

from lfi_mflow.plots.atlas import atlas_figure
from lfi_mflow.plots.corner import contour_figure, corner_figure
from lfi_mflow.plots.coverage import coverage_figure
from lfi_mflow.plots.dimension import dimension_figure
from lfi_mflow.plots.gallery import FIGURES, posterior_figures
from lfi_mflow.plots.limits import limit_contour_figure, limit_profile_figure
from lfi_mflow.plots.off_manifold import off_manifold_figure
from lfi_mflow.plots.posterior import PosteriorCurve, posterior_figure
from lfi_mflow.plots.predictive import predictive_figure
from lfi_mflow.plots.profile import profile_figure
from lfi_mflow.plots.samples import SampleRow, samples_figure
from lfi_mflow.plots.sbc import sbc_figure
from lfi_mflow.plots.style import name_label, png, svg
from lfi_mflow.plots.surface import PointCloud, surface_figure
from lfi_mflow.plots.trace import trace_figure
from lfi_mflow.plots.training import training_figure

__all__ = [
    "FIGURES",
    "PointCloud",
    "PosteriorCurve",
    "SampleRow",
    "atlas_figure",
    "contour_figure",
    "corner_figure",
    "coverage_figure",
    "dimension_figure",
    "limit_contour_figure",
    "limit_profile_figure",
    "name_label",
    "off_manifold_figure",
    "png",
    "posterior_figure",
    "posterior_figures",
    "predictive_figure",
    "profile_figure",
    "samples_figure",
    "sbc_figure",
    "surface_figure",
    "svg",
    "trace_figure",
    "training_figure",
]
