"""Phases in, trained flow and history out.

Several processes run this same loop together (see
:mod:`lfi_mflow.training.distributed`): each on its share of every batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from lfi_mflow.errors import ConfigError, Interrupted
from lfi_mflow.flows import Flow
from lfi_mflow.interruption import interruptible
from lfi_mflow.training.checkpoint import Checkpoint, CheckpointFile
from lfi_mflow.training.distributed import Ranks
from lfi_mflow.training.events import TrainingEvents
from lfi_mflow.training.history import History
from lfi_mflow.training.objective import chart_of
from lfi_mflow.training.objectives import trained_part
from lfi_mflow.training.phase_run import PhaseRun, ProgressCallback
from lfi_mflow.training.phases import Phase

__all__ = ["fit"]

_ROUNDING = 1e-6
"""Spread along a principal axis, relative to the first, that single precision may make."""


def fit(
    flow: Flow,
    phases: Sequence[Phase],
    events: TrainingEvents,
    *,
    seed: int,
    units: Sequence[str] | None = None,
    checkpoints: CheckpointFile | None = None,
    progress: ProgressCallback | None = None,
) -> History:
    """Train a flow in place.

    Where torch has a default process group, all its processes train the same flow: each
    calls this function with the same arguments, and takes its share of every batch.

    Arguments:
        flow: The flow, on the device of the events.
        phases: What to do, in order.
        events: What to train on.
        seed: Seed of the order of events, and of what an objective draws. Equal seeds give
            equal results on one machine.
        units: Units of the observables, for their scaling; all the same by default.
        checkpoints: Where to keep the state; if there is a checkpoint, the run goes on from it.
            All processes see the same file, and the first writes it.
        progress: Called about twice a second and at the end of each epoch.

    Returns:
        The losses by phase and epoch. The flow holds the weights of the best
        epoch of each phase, and is in evaluation mode.

    Raises:
        ConfigError: If a phase trains a part that the flow does not have, there are
            fewer events than it needs in a batch, processes do not see the same, or there is no
            compiler for a loss that is to be compiled.
        DataError: If all validation events have the weight zero.
        TrainingError: If losses or gradients of more than one step in a hundred of an epoch
            are not finite; fewer are left out and counted.
        Interrupted: On Ctrl-C; the checkpoint holds the last finished epoch.
    """
    for phase in phases:
        trained_part(flow, phase.minimises.part)
        _check_batch(phase, events.n_train)
        _check_share(phase, events.n_train)
    if any(phase.compiles for phase in phases):
        torch.compiler.reset()  # it compiles for a few flows, and then no more
    state = None if checkpoints is None else _found(checkpoints)
    Ranks.current().check_same(
        "configuration, events and checkpoint",
        {
            "run": None if checkpoints is None else checkpoints.run,
            "phases": [dataclasses.asdict(phase) for phase in phases],
            "history": None if state is None else state.history,
        },
    )
    history, first = History(), 0
    if state is not None:
        history, first = History.from_table(state.history), state.phase
        flow.load_state_dict(state.flow)
    else:
        _standardise(flow, events, units)
    for index in range(first, len(phases)):
        run = PhaseRun(flow, phases, index, events, history, seed, progress)
        if state is not None:
            run.restore(state)
            state = None
        try:
            with interruptible():
                run.optimise(checkpoints)
        except KeyboardInterrupt:
            kept = "nothing is" if checkpoints is None else "the finished ones are"
            raise Interrupted(
                f"stopped in phase {phases[index].name!r} after {len(run.record.epochs)} of "
                f"{phases[index].epochs} epochs; {kept} saved"
            ) from None
    flow.eval()
    return history


def _check_batch(phase: Phase, n_train: int) -> None:
    """Fail if there are fewer events than the objective needs in a batch."""
    least = phase.minimises.least_batch
    if n_train < least:
        raise ConfigError(
            f"at least {least} training events for the objective {phase.objective!r}",
            str(n_train),
            "simulate more",
        )


def _check_share(phase: Phase, n_train: int) -> None:
    """Fail if a process's share of a batch is smaller than what the objective needs."""
    size, least = Ranks.current().size, phase.minimises.least_batch
    batch = min(phase.batch_size, n_train)
    if batch // size < least:
        raise ConfigError(
            f"batches of at least {size * least} events in phase {phase.name!r}, for {size} "
            f"processes and the objective {phase.objective!r}",
            str(batch),
            "raise batch_size, or use fewer processes",
        )


def _found(checkpoints: CheckpointFile) -> Checkpoint | None:
    """Return the checkpoint of an interrupted run, if there is one."""
    return checkpoints.load() if checkpoints.exists() else None


def _standardise(flow: Flow, events: TrainingEvents, units: Sequence[str] | None) -> None:
    """Fit the standardisations of features and parameters."""
    if flow.chart is None or not flow.chart.prescribed:
        mean, covariance = events.moments()
        flow.standardisation.fit(mean, covariance, units or [""] * flow.data_dim)
        if flow.chart is not None:
            _check_rank(flow)
            flow.chart.orient(flow.standardisation.axes)
    if flow.conditional:
        chart_of(flow).standardise_theta(*events.theta_moments())


def _check_rank(flow: Flow) -> None:
    """Fail if the events span fewer dimensions than the manifold is to have."""
    variances = flow.standardisation.spectrum
    rank = int((variances > _ROUNDING**2 * variances.max()).sum())
    if rank < flow.latent_dim:
        raise ConfigError(
            f"a manifold dimension n <= {rank}, the linear rank of the events",
            f"n = {flow.latent_dim}",
            "choose another --latent-dim",
        )
