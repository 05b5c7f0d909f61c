"""All figures of a posterior, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lfi_mflow.inference.posterior import Posterior
from lfi_mflow.inference.predictive import PredictiveCheck
from lfi_mflow.plots.corner import contour_figure, corner_figure
from lfi_mflow.plots.off_manifold import off_manifold_figure
from lfi_mflow.plots.predictive import predictive_figure
from lfi_mflow.plots.profile import profile_figure
from lfi_mflow.plots.trace import trace_figure

__all__ = ["FIGURES", "posterior_figures"]

FIGURES = ("corner", "contours", "profile", "trace", "predictive", "off_manifold")
"""Names of the figures that there can be."""


def posterior_figures(
    posterior: Posterior,
    labels: tuple[Sequence[str], Sequence[str]],
    *,
    distance_quantiles: ArrayLike | None = None,
    check: PredictiveCheck | None = None,
    others: Mapping[str, ArrayLike] | None = None,
) -> dict[str, Figure]:
    """Draw what there is to draw of a posterior.

    Arguments:
        posterior: The posterior.
        labels: Labels of the parameters and of the observables.
        distance_quantiles: Quantiles of the distances of validation events; without
            them, there is no off-manifold figure.
        check: The predictive check, if there is one.
        others: Draws of another posterior to compare with, with shape (M, p), by its name.

    Returns:
        Figures by their names among ``FIGURES``. Contours need two parameters, and draws
        of a grid are independent and have no trace.
    """
    parameters, observables = labels
    chains = np.asarray(posterior.draws, dtype=float)
    flat = chains.reshape(-1, chains.shape[-1])
    other = next(iter((others or {}).items()), None)
    figures = {"corner": corner_figure(flat, parameters, other=other)}
    if len(parameters) > 1:
        sets = {"events used" if others else "posterior": flat, **(others or {})}
        figures["contours"] = contour_figure(sets, parameters)
    figures["profile"] = profile_figure(flat, posterior.log_prob.ravel(), parameters)
    if posterior.method != "grid":
        figures["trace"] = trace_figure(chains, parameters)
    if check is not None:
        figures["predictive"] = predictive_figure(check, observables)
    if distance_quantiles is not None and posterior.data.distance is not None:
        figures["off_manifold"] = off_manifold_figure(
            posterior.data, distance_quantiles, observables
        )
    return figures
