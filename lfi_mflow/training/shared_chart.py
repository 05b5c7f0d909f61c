"""A further density on the chart of a model that exists.

Densities of a signal and its backgrounds can be added up only on one manifold. So the
chart and the standardisation of one model are taken as they are, to the bit, and a latent
density of its own is trained for each further process. Where a ratio tilts the density, a
further ratio can be trained on both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, ModelMismatchError
from lfi_mflow.flows import Flow, Model, get_preset
from lfi_mflow.training.objective import chart_of
from lfi_mflow.training.phases import ALGORITHMS, Phase, density
from lfi_mflow.training.precision import DTYPES, Precision

if TYPE_CHECKING:
    from lfi_mflow.training.run import RunConfig

__all__ = ["check_shared", "density_only", "take_chart"]

_OF_DENSITY = ("latent", "ratio")


def density_only(model: Model, config: RunConfig) -> RunConfig:
    """Return the configuration that trains a latent density on the chart of a model.

    Dimension, precision and settings of the chart are those of the model, and so is the preset
    unless the configuration names one that can take the chart; of the phases those remain
    that train the density. If all of these train its ratio, the rest of the density is
    that of the model, too.

    Raises:
        ConfigError: If the model has no chart, one that depends on theta, or no phase is left.
    """
    if chart_of(model.flow).conditional:
        raise ConfigError(
            "a chart that does not depend on theta, for several processes",
            "a conditional one",
            "train the first model with conditional_chart = false",
        )
    metadata = model.metadata
    preset, settings = get_preset(metadata.preset), {**metadata.settings}
    if metadata.preset in get_preset(config.model).charts_of:
        preset, settings = get_preset(config.model), {"chart": settings["chart"]}
    settings |= {name: config.settings[name] for name in _OF_DENSITY if name in config.settings}
    if config.phases is not None:
        phases = tuple(phase for phase in config.phases if phase.minimises.part in _OF_DENSITY)
    else:
        default = ALGORITHMS[preset.algorithms[0]]()
        phases = *density(), *(phase for phase in default if phase.minimises.part == "ratio")
    if not phases:
        raise ConfigError("a phase that trains the density", "none", "add one to the [[phases]]")
    if _ratio_alone(phases):
        if preset.name != metadata.preset:
            raise ConfigError(
                f"a model whose density is trained, for the ratio of {preset.name} alone",
                f"one of the preset {metadata.preset}",
                "add a phase that trains the latent density",
            )
        settings["latent"] = metadata.settings.get("latent", {})
    return dataclasses.replace(
        config,
        model=preset.name,
        latent_dim=metadata.dimensions.latent,
        settings=settings,
        algorithm=None,
        phases=phases,
        precision=_precision(model.flow, config.precision),
    )


def check_shared(model: Model, events: EventMetadata, name: str) -> None:
    """Check that events have the observables of the model whose chart they shall use.

    Raises:
        ModelMismatchError: If they have others.
    """
    expected, found = model.metadata.events.observable_names, events.observable_names
    if expected != found:
        raise ModelMismatchError(
            f"the observables {', '.join(expected)} of the model with the chart in {name}",
            ", ".join(found),
            "use events with the same columns in the same order",
        )


def take_chart(flow: Flow, model: Model, phases: Sequence[Phase]) -> Flow:
    """Give a flow the chart and the standardisation of a model, known from then on.

    Arguments:
        flow: A flow as :func:`density_only` configures it.
        model: The model.
        phases: What will be trained; if that is a ratio alone, the flow takes the latent
            density, too.

    Returns:
        The flow in the precision of the model.
    """
    flow = flow.to(_dtype(model.flow))
    for name in ("standardisation", "chart", *(["latent"] if _ratio_alone(phases) else [])):
        getattr(flow, name).load_state_dict(getattr(model.flow, name).state_dict())
    chart_of(flow).prescribed = True
    return flow


def _ratio_alone(phases: Sequence[Phase]) -> bool:
    """Say whether phases train a ratio and nothing else."""
    return all(phase.minimises.part == "ratio" for phase in phases)


def _precision(flow: Flow, wanted: Precision) -> Precision:
    """Return the precision that is wanted if it has the numbers of a flow, else theirs."""
    if DTYPES[wanted] == _dtype(flow):
        return wanted
    return "double" if _dtype(flow) == torch.float64 else "single"


def _dtype(flow: Flow) -> torch.dtype:
    """Return the type of the weights of a flow."""
    return next(flow.parameters()).dtype
