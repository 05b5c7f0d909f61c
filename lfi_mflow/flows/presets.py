"""The flows of the literature by name.

A preset is data: a name, where it comes from, its settings, what it can be
trained with, and how to build it for given dimensions. Each stands in the module of
its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfi_mflow.config import from_table
from lfi_mflow.errors import UnknownNameError
from lfi_mflow.flows.ambient_presets import AMBIENT_PRESETS
from lfi_mflow.flows.contrast_presets import CONTRAST_PRESETS
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.manifold_presets import MANIFOLD_PRESETS
from lfi_mflow.flows.preset import Preset
from lfi_mflow.flows.settings import Dimensions

__all__ = ["PRESETS", "Preset", "build_flow", "get_preset"]

PRESETS: Mapping[str, Preset[Any]] = {
    preset.name: preset for preset in (*MANIFOLD_PRESETS, *AMBIENT_PRESETS, *CONTRAST_PRESETS)
}
"""All presets by their names."""


def get_preset(name: str) -> Preset[Any]:
    """Look up a preset.

    Raises:
        UnknownNameError: If there is none of that name; the nearest are offered.
    """
    if name not in PRESETS:
        raise UnknownNameError("model", name, PRESETS, "list them with: lfi-mflow models")
    return PRESETS[name]


def build_flow(name: str, dimensions: Dimensions, settings: Mapping[str, Any]) -> Flow:
    """Build a flow from the name of its preset and a table of settings.

    Raises:
        UnknownNameError: If the preset or a setting does not exist.
        ConfigError: If a setting or the dimensions cannot be.
    """
    preset = get_preset(name)
    table = from_table(preset.settings, settings, f"the settings of {name}")
    return preset.build(dimensions, table)
