"""Closure tests: does a model reproduce what is known? Arrays in, record out."""

from lfi_mflow.closure.context import ClosureSettings
from lfi_mflow.closure.published import (
    Estimate,
    log_density_error,
    manifold_distance,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.closure.record import ClosureReport, Metric, Target
from lfi_mflow.closure.sbc import EcdfBand, ecdf_band, sbc_p_value, sbc_ranks
from lfi_mflow.closure.study import run_closure
from lfi_mflow.closure.targets import METRICS, load_targets

__all__ = [
    "METRICS",
    "ClosureReport",
    "ClosureSettings",
    "EcdfBand",
    "Estimate",
    "Metric",
    "Target",
    "ecdf_band",
    "load_targets",
    "log_density_error",
    "manifold_distance",
    "ood_auc",
    "posterior_mmd2",
    "reconstruction_error",
    "run_closure",
    "sbc_p_value",
    "sbc_ranks",
]
