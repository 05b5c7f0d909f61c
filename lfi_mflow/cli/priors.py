"""The prior of an inference."""
# ruff: noqa: PLC0415 - numpy is imported when a command runs

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfi_mflow.data import EventMetadata
    from lfi_mflow.simulation import Prior

__all__ = ["inference_prior"]


def inference_prior(events: EventMetadata, text: str | None) -> Prior:
    """Return the prior of the user, or else the one of the training events.

    Arguments:
        events: What the model knows of its training events.
        text: What the user gave, None for nothing.

    Raises:
        InputError: If the prior reaches where the model has seen no events.
        ConfigError: If there is none and a parameter is not bounded.
    """
    from lfi_mflow.simulation import Prior, default_prior, parse_prior

    trained = None if events.prior is None else Prior.from_table(events.prior)
    if text is None:
        return default_prior(events.parameters) if trained is None else trained
    if trained is None:
        return parse_prior(text, events.parameters)
    # Outside the training prior the model extrapolates, and says nothing of it.
    parameters = [
        dataclasses.replace(parameter, low=float(low), high=float(high))
        for parameter, low, high in zip(events.parameters, trained.low, trained.high, strict=True)
    ]
    return parse_prior(text, parameters)
