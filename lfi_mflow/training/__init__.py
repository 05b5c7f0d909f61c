"""Objectives, phases and the one optimisation loop."""

from lfi_mflow.training.checkpoint import Checkpoint, CheckpointFile
from lfi_mflow.training.events import Batch, ResidentEvents, StreamedEvents, TrainingEvents
from lfi_mflow.training.history import EpochRecord, History, PhaseRecord
from lfi_mflow.training.loop import Progress, ProgressCallback, fit
from lfi_mflow.training.objectives import (
    OBJECTIVES,
    Adversarial,
    EvidenceBound,
    LatentLikelihood,
    Likelihood,
    Objective,
    PenalisedLikelihood,
    Reconstruction,
    Scandal,
    Transport,
)
from lfi_mflow.training.phases import (
    ALGORITHMS,
    Phase,
    adversarial,
    alternating,
    density,
    density_scandal,
    elbo,
    penalised,
    scandal,
    sequential,
    simultaneous,
    transport,
    transport_alternating,
)
from lfi_mflow.training.run import RunConfig, read_run_config, resolve_device, train_model
from lfi_mflow.training.shared_chart import density_only

__all__ = [
    "ALGORITHMS",
    "OBJECTIVES",
    "Adversarial",
    "Batch",
    "Checkpoint",
    "CheckpointFile",
    "EpochRecord",
    "EvidenceBound",
    "History",
    "LatentLikelihood",
    "Likelihood",
    "Objective",
    "PenalisedLikelihood",
    "Phase",
    "PhaseRecord",
    "Progress",
    "ProgressCallback",
    "Reconstruction",
    "ResidentEvents",
    "RunConfig",
    "Scandal",
    "StreamedEvents",
    "TrainingEvents",
    "Transport",
    "adversarial",
    "alternating",
    "density",
    "density_only",
    "density_scandal",
    "elbo",
    "fit",
    "penalised",
    "read_run_config",
    "resolve_device",
    "scandal",
    "sequential",
    "simultaneous",
    "train_model",
    "transport",
    "transport_alternating",
]
