"""Densities built from a chart and a latent flow; one preset per name in the literature."""

from lfi_mflow.flows.ambient import AmbientFlow
from lfi_mflow.flows.atlas import AtlasFlow, AtlasFlowSettings
from lfi_mflow.flows.atlas_latent import AtlasLatent
from lfi_mflow.flows.contrasts import GenerativeAdversarialNetwork, VariationalAutoencoder
from lfi_mflow.flows.flow import EncodedEvents, Flow, Reference
from lfi_mflow.flows.free_form import FreeFormSettings
from lfi_mflow.flows.latent import LatentFlow, LatentSettings
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.model_file import (
    Model,
    ModelMetadata,
    load_model,
    save_model,
    weights_digest,
)
from lfi_mflow.flows.presets import PRESETS, Preset, build_flow, get_preset
from lfi_mflow.flows.pseudo_invertible import PseudoInvertibleEncoder
from lfi_mflow.flows.ratio import Denominator, RatioEstimator
from lfi_mflow.flows.relaxed import RelaxedInjectiveFlow
from lfi_mflow.flows.settings import (
    AmbientSettings,
    AutoencoderSettings,
    ConformalFlowSettings,
    Dimensions,
    EncodedSettings,
    FlowSettings,
    GanSettings,
    HypersurfaceSettings,
    ManifoldSettings,
    ModelSettings,
    OriginalPieSettings,
    PieSettings,
    PrescribedSettings,
    RatioSettings,
    TiltedSettings,
)
from lfi_mflow.flows.tilted import TiltedManifoldFlow

__all__ = [
    "PRESETS",
    "AmbientFlow",
    "AmbientSettings",
    "AtlasFlow",
    "AtlasFlowSettings",
    "AtlasLatent",
    "AutoencoderSettings",
    "ConformalFlowSettings",
    "Denominator",
    "Dimensions",
    "EncodedEvents",
    "EncodedSettings",
    "Flow",
    "FlowSettings",
    "FreeFormSettings",
    "GanSettings",
    "GenerativeAdversarialNetwork",
    "HypersurfaceSettings",
    "LatentFlow",
    "LatentSettings",
    "ManifoldFlow",
    "ManifoldSettings",
    "Model",
    "ModelMetadata",
    "ModelSettings",
    "OriginalPieSettings",
    "PieSettings",
    "PrescribedSettings",
    "Preset",
    "PseudoInvertibleEncoder",
    "RatioEstimator",
    "RatioSettings",
    "Reference",
    "RelaxedInjectiveFlow",
    "TiltedManifoldFlow",
    "TiltedSettings",
    "VariationalAutoencoder",
    "build_flow",
    "get_preset",
    "load_model",
    "save_model",
    "weights_digest",
]
