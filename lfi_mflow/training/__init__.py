"""Objectives, phases and the one optimisation loop."""

from lfi_mflow.training.checkpoint import Checkpoint, CheckpointFile
from lfi_mflow.training.events import ResidentEvents, StreamedEvents, TrainingEvents
from lfi_mflow.training.history import EpochRecord, History, PhaseRecord
from lfi_mflow.training.loop import Progress, ProgressCallback, fit
from lfi_mflow.training.objectives import (
    OBJECTIVES,
    LatentLikelihood,
    Likelihood,
    Objective,
    PenalisedLikelihood,
    Reconstruction,
)
from lfi_mflow.training.phases import (
    ALGORITHMS,
    Phase,
    alternating,
    density,
    penalised,
    sequential,
    simultaneous,
)
from lfi_mflow.training.run import RunConfig, read_run_config, resolve_device, train_model

__all__ = [
    "ALGORITHMS",
    "OBJECTIVES",
    "Checkpoint",
    "CheckpointFile",
    "EpochRecord",
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
    "StreamedEvents",
    "TrainingEvents",
    "alternating",
    "density",
    "fit",
    "penalised",
    "read_run_config",
    "resolve_device",
    "sequential",
    "simultaneous",
    "train_model",
]
