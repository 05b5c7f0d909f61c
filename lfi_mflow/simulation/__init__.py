"""What a simulator is, priors, and how to run a simulator; imports no torch."""

from lfi_mflow.simulation.conformance import check_simulator
from lfi_mflow.simulation.contract import (
    Array,
    HasJoint,
    HasLikelihood,
    HasLogRatio,
    HasManifold,
    HasRate,
    Observable,
    Parameter,
    Simulator,
)
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.morphing import (
    Morphed,
    component_log_ratio,
    component_score,
    effective_sample_size,
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
from lfi_mflow.simulation.registry import available_simulators, get_simulator
from lfi_mflow.simulation.runner import SimulationJob, simulate_chunk, simulate_chunks

__all__ = [
    "Array",
    "Events",
    "HasJoint",
    "HasLikelihood",
    "HasLogRatio",
    "HasManifold",
    "HasRate",
    "Morphed",
    "Normal",
    "Observable",
    "Parameter",
    "Prior",
    "SimulationJob",
    "Simulator",
    "Uniform",
    "available_simulators",
    "check_simulator",
    "component_log_ratio",
    "component_score",
    "default_prior",
    "effective_sample_size",
    "get_simulator",
    "monomials",
    "morph",
    "parse_prior",
    "prior_from_mapping",
    "simulate_chunk",
    "simulate_chunks",
]
