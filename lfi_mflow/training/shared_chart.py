"""A further process on the chart of a model that exists.

Densities of a signal and its backgrounds can be added up only on one manifold. So the
chart and the standardisation of one model are taken as they are, to the bit, and a latent
density of its own is trained for each further process.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, ModelMismatchError
from lfi_mflow.flows import Flow, Model
from lfi_mflow.training.objective import chart_of
from lfi_mflow.training.phases import density

if TYPE_CHECKING:
    from lfi_mflow.training.run import RunConfig

__all__ = ["check_shared", "density_only", "take_chart"]


def density_only(model: Model, config: RunConfig) -> RunConfig:
    """Return the configuration that trains a latent density on the chart of a model.

    Model, dimension, precision and settings of the chart are those of the model; of the
    phases those remain that train the latent density.

    Raises:
        ConfigError: If the model has no chart, one that depends on theta, or no phase is left.
    """
    if chart_of(model.flow).conditional:
        raise ConfigError(
            "a chart that does not depend on theta, for several processes",
            "a conditional one",
            "train the first model with conditional_chart = false",
        )
    phases = density()
    if config.phases is not None:
        phases = tuple(phase for phase in config.phases if phase.minimises.part == "latent")
    if not phases:
        raise ConfigError(
            "a phase that trains the latent density", "none", "add one to the [[phases]]"
        )
    metadata = model.metadata
    settings = {**metadata.settings}
    if "latent" in config.settings:
        settings["latent"] = config.settings["latent"]
    return dataclasses.replace(
        config,
        model=metadata.preset,
        latent_dim=metadata.dimensions.latent,
        settings=settings,
        algorithm=None,
        phases=phases,
        precision="double" if _is_double(model.flow) else "single",
    )


def check_shared(model: Model, events: EventMetadata, path: Path) -> None:
    """Check that events have the observables of the model whose chart they shall use.

    Raises:
        ModelMismatchError: If they have others.
    """
    expected, found = model.metadata.events.observable_names, events.observable_names
    if expected != found:
        raise ModelMismatchError(
            f"the observables {', '.join(expected)} of the model with the chart in {path}",
            ", ".join(found),
            "use events with the same columns in the same order",
        )


def take_chart(flow: Flow, model: Model) -> Flow:
    """Give a flow the chart and the standardisation of a model, known from then on.

    Arguments:
        flow: A flow of the same preset, dimensions and settings of the chart.
        model: The model.

    Returns:
        The flow in the precision of the model.
    """
    flow = flow.double() if _is_double(model.flow) else flow.float()
    for name in ("standardisation", "chart"):
        getattr(flow, name).load_state_dict(getattr(model.flow, name).state_dict())
    chart_of(flow).prescribed = True
    return flow


def _is_double(flow: Flow) -> bool:
    """Say whether the weights of a flow are double precision."""
    return next(flow.parameters()).dtype == torch.float64
