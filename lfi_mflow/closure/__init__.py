"""Closure tests: does a model reproduce what is known? Arrays in, record out."""

from lfi_mflow.closure.c2st import c2st
from lfi_mflow.closure.context import ClosureSettings
from lfi_mflow.closure.coverage import central_ranks, expected_coverage, hpd_ranks
from lfi_mflow.closure.divergence import kl_divergence
from lfi_mflow.closure.lc2st import LocalTest, lc2st
from lfi_mflow.closure.likelihood_calibration import (
    RatioCalibration,
    parameter_pairs,
    ratio_calibration,
)
from lfi_mflow.closure.published import (
    Estimate,
    log_density_error,
    manifold_distance,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.closure.ratio_checks import recalibrate
from lfi_mflow.closure.ratios import Reliability, ratio_normalisation, reliability
from lfi_mflow.closure.record import ClosureReport, Metric, Target
from lfi_mflow.closure.residual import (
    distance_theta_dependence,
    off_manifold_p_values,
    too_small,
)
from lfi_mflow.closure.sbc import EcdfBand, ecdf_band, sbc_p_value, sbc_ranks
from lfi_mflow.closure.study import run_closure
from lfi_mflow.closure.targets import METRICS, load_targets
from lfi_mflow.closure.tarp import one_sided, tarp_p_value, tarp_ranks
from lfi_mflow.closure.truth import log_density_at_truth

__all__ = [
    "METRICS",
    "ClosureReport",
    "ClosureSettings",
    "EcdfBand",
    "Estimate",
    "LocalTest",
    "Metric",
    "RatioCalibration",
    "Reliability",
    "Target",
    "c2st",
    "central_ranks",
    "distance_theta_dependence",
    "ecdf_band",
    "expected_coverage",
    "hpd_ranks",
    "kl_divergence",
    "lc2st",
    "load_targets",
    "log_density_at_truth",
    "log_density_error",
    "manifold_distance",
    "off_manifold_p_values",
    "one_sided",
    "ood_auc",
    "parameter_pairs",
    "posterior_mmd2",
    "ratio_calibration",
    "ratio_normalisation",
    "recalibrate",
    "reconstruction_error",
    "reliability",
    "run_closure",
    "sbc_p_value",
    "sbc_ranks",
    "tarp_p_value",
    "tarp_ranks",
    "too_small",
]
