"""Posteriors from a likelihood surrogate: likelihoods, samplers, grids and diagnostics."""

from lfi_mflow.inference.comparison import DensityComparison, compare_densities
from lfi_mflow.inference.convergence import Convergence, convergence, ess_bulk, ess_tail, r_hat
from lfi_mflow.inference.ensembles import infer_by_ensemble
from lfi_mflow.inference.exact import SimulatorLikelihood, exact_likelihood
from lfi_mflow.inference.experiment import (
    Constraint,
    CountingExperiment,
    DataSet,
    asimov_data,
)
from lfi_mflow.inference.fisher import FisherInformation, expected_information
from lfi_mflow.inference.fit import Maximum, maximise
from lfi_mflow.inference.grid import GridPosterior, GridSettings, grid_posterior
from lfi_mflow.inference.histograms import (
    Histogram,
    fill_histogram,
    pyhf_workspace,
    quantile_edges,
)
from lfi_mflow.inference.hmc import sample_by_gradient
from lfi_mflow.inference.likelihood import (
    EventSetLikelihood,
    LogPosterior,
    log_posterior,
    log_prior,
)
from lfi_mflow.inference.limits import LEVELS, Sensitivity, Toys, find_limits
from lfi_mflow.inference.limits_file import Limits
from lfi_mflow.inference.mcmc import Draws, McmcSettings, sample_posterior
from lfi_mflow.inference.mixture import MixtureLikelihood
from lfi_mflow.inference.moving import MovingManifoldLikelihood, likelihood_of
from lfi_mflow.inference.neyman import NeymanSettings
from lfi_mflow.inference.observed import ObservedEvents, Removal
from lfi_mflow.inference.off_manifold import (
    lie_off_manifold,
    off_manifold_events,
    off_manifold_p_value,
)
from lfi_mflow.inference.outliers import posterior_shifts, require_distances, without_outliers
from lfi_mflow.inference.posterior import Posterior, load_posterior
from lfi_mflow.inference.predictive import (
    PredictiveCheck,
    generates_events,
    predictive_check,
)
from lfi_mflow.inference.processes import Process, ProcessLikelihood
from lfi_mflow.inference.rates import ExpectedEvents
from lfi_mflow.inference.ratios import RatioLikelihood
from lfi_mflow.inference.residuals import Suspicion, residual_ratios, standardised_residuals
from lfi_mflow.inference.run import infer_posterior
from lfi_mflow.inference.score_file import ScoreFile, ScoreMetadata, write_scores
from lfi_mflow.inference.scores import Scores, score_events
from lfi_mflow.inference.summaries import event_log_ratios, event_scores

__all__ = [
    "LEVELS",
    "Constraint",
    "Convergence",
    "CountingExperiment",
    "DataSet",
    "DensityComparison",
    "Draws",
    "EventSetLikelihood",
    "ExpectedEvents",
    "FisherInformation",
    "GridPosterior",
    "GridSettings",
    "Histogram",
    "Limits",
    "LogPosterior",
    "Maximum",
    "McmcSettings",
    "MixtureLikelihood",
    "MovingManifoldLikelihood",
    "NeymanSettings",
    "ObservedEvents",
    "Posterior",
    "PredictiveCheck",
    "Process",
    "ProcessLikelihood",
    "RatioLikelihood",
    "Removal",
    "ScoreFile",
    "ScoreMetadata",
    "Scores",
    "Sensitivity",
    "SimulatorLikelihood",
    "Suspicion",
    "Toys",
    "asimov_data",
    "compare_densities",
    "convergence",
    "ess_bulk",
    "ess_tail",
    "event_log_ratios",
    "event_scores",
    "exact_likelihood",
    "expected_information",
    "fill_histogram",
    "find_limits",
    "generates_events",
    "grid_posterior",
    "infer_by_ensemble",
    "infer_posterior",
    "lie_off_manifold",
    "likelihood_of",
    "load_posterior",
    "log_posterior",
    "log_prior",
    "maximise",
    "off_manifold_events",
    "off_manifold_p_value",
    "posterior_shifts",
    "predictive_check",
    "pyhf_workspace",
    "quantile_edges",
    "r_hat",
    "require_distances",
    "residual_ratios",
    "sample_by_gradient",
    "sample_posterior",
    "score_events",
    "standardised_residuals",
    "without_outliers",
    "write_scores",
]
