"""What a simulator is, priors, and how to run a simulator; imports no torch."""

from lfi_mflow.simulation.conformance import check_simulator
from lfi_mflow.simulation.contract import (
    Array,
    HasClosure,
    HasJoint,
    HasLikelihood,
    HasLogRatio,
    HasManifold,
    HasMorphing,
    HasRate,
    HasTestPoints,
    Observable,
    Parameter,
    Simulator,
)
from lfi_mflow.simulation.dask_workers import DaskWorkers
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.morphing import (
    Morphed,
    component_log_ratio,
    component_score,
    monomials,
    morph,
)
from lfi_mflow.simulation.priors import (
    Normal,
    Prior,
    Uniform,
    default_prior,
    parse_prior,
    prior_from_mapping,
)
from lfi_mflow.simulation.registry import (
    available_simulators,
    get_recorded_simulator,
    get_simulator,
)
from lfi_mflow.simulation.resampling import (
    ResampledCells,
    resample_cells,
    systematic_counts,
)
from lfi_mflow.simulation.runner import SimulationJob, simulate_chunk
from lfi_mflow.simulation.unweighting import simulate_unweighted
from lfi_mflow.simulation.weights import WeightSummary, effective_sample_size
from lfi_mflow.simulation.workers import Processes, ThisProcess, Workers, simulate_chunks

__all__ = [
    "Array",
    "DaskWorkers",
    "Events",
    "HasClosure",
    "HasJoint",
    "HasLikelihood",
    "HasLogRatio",
    "HasManifold",
    "HasMorphing",
    "HasRate",
    "HasTestPoints",
    "Morphed",
    "Normal",
    "Observable",
    "Parameter",
    "Prior",
    "Processes",
    "ResampledCells",
    "SimulationJob",
    "Simulator",
    "ThisProcess",
    "Uniform",
    "WeightSummary",
    "Workers",
    "available_simulators",
    "check_simulator",
    "component_log_ratio",
    "component_score",
    "default_prior",
    "effective_sample_size",
    "get_recorded_simulator",
    "get_simulator",
    "monomials",
    "morph",
    "parse_prior",
    "prior_from_mapping",
    "resample_cells",
    "simulate_chunk",
    "simulate_chunks",
    "simulate_unweighted",
    "systematic_counts",
]
