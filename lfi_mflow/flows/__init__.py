"""Densities built from a chart and a latent flow; one preset per name in the literature."""

from lfi_mflow.flows.flow import EncodedEvents, Flow, Reference
from lfi_mflow.flows.latent import LatentFlow, LatentSettings
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.model_file import Model, ModelMetadata, load_model, save_model
from lfi_mflow.flows.presets import (
    PRESETS,
    Dimensions,
    FlowSettings,
    Preset,
    build_flow,
    get_preset,
)

__all__ = [
    "PRESETS",
    "Dimensions",
    "EncodedEvents",
    "Flow",
    "FlowSettings",
    "LatentFlow",
    "LatentSettings",
    "ManifoldFlow",
    "Model",
    "ModelMetadata",
    "Preset",
    "Reference",
    "build_flow",
    "get_preset",
    "load_model",
    "save_model",
]
