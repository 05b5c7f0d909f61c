"""The section on the charts of a model that has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lfi_mflow.flows import AtlasFlow, Flow
from lfi_mflow.flows.atlas_latent import ABSENT, unpack
from lfi_mflow.plots import atlas_figure
from lfi_mflow.report.markup import paragraph, picture_block, section

__all__ = ["atlas_section"]


def atlas_section(
    flow: Flow, surface: Mapping[str, Any], history: Mapping[str, Any], labels: Sequence[str]
) -> str:
    """Show which chart generates what, and where charts overlap; nothing for other models.

    Arguments:
        flow: The flow.
        surface: ``model`` with ``x``, events that it generated.
        history: The history of its training.
        labels: Labels of the observables.
    """
    if not isinstance(flow, AtlasFlow) or not surface.get("model"):
        return ""
    x = np.asarray(surface["model"]["x"], dtype=float)
    like = next(flow.parameters())
    with torch.no_grad():
        slots = unpack(flow.latents(torch.from_numpy(x).to(like)), flow.latent_dim)
    overlap = (slots.log_weight > 0.5 * ABSENT).sum(dim=-1).cpu().numpy()
    chart = slots.chart[:, 0].cpu().numpy()
    return section(
        "atlas",
        "The atlas",
        picture_block(
            atlas_figure(x, chart, overlap, labels),
            "Generated events, coloured by the chart that reproduces them best, and by the number "
            "of charts on which they lie: their density is a sum over all of these.",
            description="generated events coloured by chart and by the number of charts",
        ),
        paragraph(_usage(flow.chart.n_charts, chart, history), "small"),
    )


def _usage(charts: int, chart: Any, history: Mapping[str, Any]) -> str:
    """Say how many charts are used, and how many had to be revived."""
    used = len(np.unique(chart))
    parts = [f"{used} of {charts} charts reproduce some of these events best"]
    for phase in history.get("phases", []):
        kept = phase["epochs"][phase["best_epoch"]].get("validation_parts", {})
        if "usage" in kept:
            parts.append(f"usage of the centres {kept['usage']:.2f}")
            parts.append(f"dead centres revived {kept['revived']:.0f} times")
    return "; ".join(parts) + "."
