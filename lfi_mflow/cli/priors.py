"""Priors on the command line: as text, or in a TOML file."""
# ruff: noqa: PLC0415 - numpy is imported when a command runs

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lfi_mflow.config import read_toml
from lfi_mflow.errors import ConfigError

if TYPE_CHECKING:
    from lfi_mflow.data import EventMetadata
    from lfi_mflow.simulation import Parameter, Prior

__all__ = ["inference_prior", "read_prior"]


def read_prior(text: str, parameters: Sequence[Parameter]) -> Prior:
    """Read a prior from text, or from the table ``[prior]`` of a file whose name ends in .toml.

    Raises:
        FileFormatError: If there is no such file, or it is not TOML.
        ConfigError: If the prior cannot be read or a parameter is missing.
        UnknownNameError: If a parameter or a distribution does not exist.
        InputError: If the prior reaches beyond the bounds of a parameter.
    """
    from lfi_mflow.simulation import parse_prior, prior_from_mapping

    if not text.endswith(".toml"):
        return parse_prior(text, parameters)
    table = read_toml(Path(text))
    if not isinstance(table.get("prior"), dict) or len(table) > 1:
        raise ConfigError(
            f"one table [prior] in {text}",
            ", ".join(table) or "an empty file",
            "write for example: [prior] and below it: theta = 'uniform(-1, 1)'",
        )
    return prior_from_mapping(table["prior"], parameters)


def inference_prior(
    events: EventMetadata, text: str | None, conditions: Sequence[str] = ()
) -> Prior:
    """Return the prior of the user, or else the one of the training events.

    Arguments:
        events: What the model knows of its training events.
        text: What the user gave, None for nothing.
        conditions: Names of parameters that are known and need no prior.

    Raises:
        InputError: If the prior reaches where the model has seen no events.
        ConfigError: If there is none and a parameter is not bounded.
    """
    from lfi_mflow.simulation import Prior, default_prior

    wanted = [parameter for parameter in events.parameters if parameter.name not in conditions]
    trained = None
    if events.prior is not None:
        rows = zip(events.parameters, events.prior, strict=True)
        trained = Prior.from_table([row for parameter, row in rows if parameter in wanted])
    if text is None:
        return default_prior(wanted) if trained is None else trained
    if trained is None:
        return read_prior(text, wanted)
    # Outside the training prior the model extrapolates, and says nothing of it.
    parameters = [
        dataclasses.replace(parameter, low=float(low), high=float(high))
        for parameter, low, high in zip(wanted, trained.low, trained.high, strict=True)
    ]
    return read_prior(text, parameters)
