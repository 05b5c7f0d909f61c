"""The one optimisation loop: phases in, trained flow and history out.

Losses and gradient norms of an epoch are collected on the device and looked at
once per epoch, so that no step waits for the one before. A step whose gradient is
not finite changes nothing, and is counted. An epoch with too many of them is found
then, and the first step named; the checkpoint of the epoch before is what remains.

Several processes run this same loop together (see
:mod:`lfi_mflow.training.distributed`): each on its share of every batch.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lfi_mflow.errors import ConfigError, DataError, Interrupted, TrainingError
from lfi_mflow.flows import Flow
from lfi_mflow.training.checkpoint import Checkpoint, CheckpointFile
from lfi_mflow.training.compilation import compiled
from lfi_mflow.training.distributed import Ranks
from lfi_mflow.training.events import Batch, TrainingEvents
from lfi_mflow.training.history import EpochRecord, History, PhaseRecord
from lfi_mflow.training.objective import chart_of
from lfi_mflow.training.objectives import advice_on_failure, trained_part
from lfi_mflow.training.optimisers import OPTIMISERS
from lfi_mflow.training.phases import Phase, learning_rate_factor

__all__ = ["Progress", "ProgressCallback", "fit"]

VALIDATION_BATCH = 2**14
_REPORT_SECONDS = 0.5
_MOST_SKIPPED = 0.01
"""Share of the steps of an epoch that may be left out."""
_ROUNDING = 1e-6
"""Spread along a principal axis, relative to the first, that single precision may make."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Arguments:
        phase: Name of the phase.
        step: Steps done in the phase.
        steps: Steps of the phase.
        loss: Loss of the last step.
        validation: Validation loss of the last finished epoch, NaN before.
        learning_rate: Learning rate of the last step.
        epoch_ended: Whether an epoch has just ended.
    """

    phase: str
    step: int
    steps: int
    loss: float
    validation: float
    learning_rate: float
    epoch_ended: bool


ProgressCallback = Callable[[Progress], None]


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
        run = _PhaseRun(flow, phases, index, events, history, seed, progress)
        if state is not None:
            run.restore(state)
            state = None
        try:
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


class _PhaseRun:
    """One phase at work."""

    def __init__(
        self,
        flow: Flow,
        phases: Sequence[Phase],
        index: int,
        events: TrainingEvents,
        history: History,
        seed: int,
        progress: ProgressCallback | None,
    ) -> None:
        phase = phases[index]
        self.flow, self.phase, self.index, self.history = flow, phase, index, history
        self.seed, self.progress = seed, progress
        self.objective = phase.minimises
        # once: later phases go on from what earlier ones have learnt
        before = {p.minimises.part for p in phases[:index]}
        self.begins = before <= (
            {"chart", "latent"} if self.objective.part == "ratio" else {"chart"}
        )
        self.part = trained_part(flow, self.objective.part)
        self.optimiser = OPTIMISERS[phase.optimiser](
            self.part.parameters(), phase.learning_rate, phase.momentum, phase.weight_decay
        )
        self.ranks = Ranks.current()
        loss: Callable[[Batch], Tensor] = self._mean_loss
        if phase.compiles:
            loss = compiled(loss, next(self.part.parameters()).device)
        self.mean_loss = self.ranks.averaged(self.part, loss)
        flow.eval()
        self.n_validation = events.n_validation
        self.events = events.prepare(lambda x, theta: self.objective.prepare(flow, x, theta))
        self.steps = self.events.steps(phase.batch_size)
        self.record = PhaseRecord(
            phase.name,
            phase.objective,
            self.objective.keeps,
            measures=self.objective.measures,
        )
        self.generator = torch.Generator()
        self.best: dict[str, Any] = {}
        self.last_report = 0.0

    def restore(self, state: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.optimiser.load_state_dict(state.optimiser)
        self.best = state.best
        self.record = self.history.phases.pop()

    def optimise(self, checkpoints: CheckpointFile | None) -> None:
        """Run the epochs that are left, and keep the best weights."""
        self.history.phases.append(self.record)
        if self.begins and not self.record.epochs:
            self.objective.begin(self.flow, self.events.some())
        for epoch in range(len(self.record.epochs), self.phase.epochs):
            if self._out_of_patience(epoch):
                break
            self._run_epoch(epoch)
            if self.record.best_epoch == epoch:
                self.best = _copy(self.part.state_dict())
            if checkpoints is not None and self.ranks.leads:
                checkpoints.save(self._state())
        self.part.load_state_dict(self.best)
        self.objective.end(self.flow)

    def _run_epoch(self, epoch: int) -> None:
        """Train for one epoch and record its losses."""
        start = time.perf_counter()
        self.part.train()
        seed = self._seed_of(epoch)
        self.generator.manual_seed(self._seed_of(epoch, self.ranks.rank))
        # one tensor for all steps: small ones that stay between large ones that go cut up the heap
        losses, norms = next(self.part.parameters()).new_empty(2, self.steps)
        for step, batch in enumerate(self.events.training(self.phase.batch_size, seed)):
            rate = self._set_learning_rate(epoch * self.steps + step)
            losses[step], norms[step] = self._step(batch)
            self._report(epoch * self.steps + step + 1, losses[step], rate, epoch_ended=False)
        means = self.ranks.total(losses) / self.ranks.size
        finite = self._check(epoch, means, norms)
        parts = self._validate()
        validation = parts.pop("loss")
        if not math.isfinite(validation):
            raise TrainingError(
                f"expected a finite validation loss, found {validation} in phase "
                f"{self.phase.name!r} after epoch {epoch + 1}; {self._advice()}"
            )
        train = means[finite].mean().item()
        skipped = len(losses) - int(finite.sum())
        seconds = time.perf_counter() - start
        self.record.epochs.append(
            EpochRecord(epoch, train, validation, rate, seconds, parts, skipped)
        )
        self._report((epoch + 1) * self.steps, means[-1], rate, epoch_ended=True)

    def _seed_of(self, epoch: int, rank: int = 0) -> int:
        """Return the seed of an epoch; what a loss draws has one for each process."""
        key = (self.index, epoch, rank) if rank else (self.index, epoch)
        return int(np.random.SeedSequence(self.seed, spawn_key=key).generate_state(1)[0])

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take one step; return loss and gradient norm without waiting for them.

        With a gradient that is not finite it is no step: weights and moments stay. A fused
        optimiser looks at ``found_inf``, as gradient scalers set it, where the tensors are.
        """
        loss = self.mean_loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.part.parameters(), self.phase.clip)
        self.optimiser.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        with torch.no_grad():
            self.objective.after_step(self.flow, batch)
        return loss.detach(), norm

    def _mean_loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a share of a batch, weighted if the events are."""
        losses = self.objective.loss(self.flow, batch, self.generator)
        return _mean(losses, batch) * batch.scale

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Mean loss of the validation events, and what explains it."""
        self.part.eval()
        self.generator.manual_seed(self.seed + self.ranks.rank)  # the same after every epoch
        counts: list[int] = []
        blocks: list[Tensor] = []
        names: list[str] = []
        for batch in self.events.validation(self._validation_batch()):
            recorded = self.objective.validate(self.flow, batch, self.generator)
            names = [*recorded, "weight"]
            values = [*recorded.values(), batch.theta.new_ones(len(batch.theta))]
            blocks.append(torch.stack([_mean(value, batch) for value in values]))
            counts.append(len(batch.theta))
        totals = self.ranks.merged(_sums(names, blocks, counts))
        weight = totals.pop("weight")
        if not weight > 0.0:
            raise DataError(
                "validation events of positive weight",
                f"{self.n_validation} without",
                "raise validation_fraction, or give more events",
            )
        return {name: total / weight for name, total in totals.items()}

    def _validation_batch(self) -> int:
        """Return the number of validation events per batch: every process gets a part."""
        if self.objective.least_batch > 1:
            return self.phase.batch_size
        return min(VALIDATION_BATCH, math.ceil(self.n_validation / self.ranks.size))

    def _set_learning_rate(self, step: int) -> float:
        """Set and return the learning rate of a step."""
        factor = learning_rate_factor(step / (self.phase.epochs * self.steps), self.phase.warm_up)
        rate = self.phase.learning_rate * factor
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _check(self, epoch: int, losses: Tensor, norms: Tensor) -> Tensor:
        """Return which steps of an epoch had a finite loss and gradient.

        Raises:
            TrainingError: If too many had not.
        """
        finite = losses.isfinite() & norms.isfinite()
        bad = (~finite).nonzero().flatten()
        if len(bad) > _MOST_SKIPPED * self.steps:
            batch = int(bad[0])
            raise TrainingError(
                f"expected finite losses and gradients, found loss {losses[batch].item():.4g} with "
                f"gradient norm {norms[batch].item():.4g} in phase {self.phase.name!r} at step "
                f"{epoch * self.steps + batch + 1} (epoch {epoch + 1}, batch {batch + 1} of "
                f"{self.steps}); {self._advice()}"
            )
        return finite

    def _advice(self) -> str:
        """Say what remains and what to do after a failure."""
        done = len(self.record.epochs)
        kept = f"epoch {done} was the last good one" if done else "no epoch of it was finished"
        return f"{kept}; {advice_on_failure(self.flow, self.objective)}"

    def _out_of_patience(self, epoch: int) -> bool:
        """Say whether the validation loss has not improved for too long."""
        patience = self.phase.patience
        return patience > 0 and epoch > 0 and epoch - 1 - self.record.best_epoch >= patience

    def _state(self) -> Checkpoint:
        """Return the state after a finished epoch."""
        return Checkpoint(
            phase=self.index,
            flow=self.flow.state_dict(),
            best=self.best,
            optimiser=self.optimiser.state_dict(),
            history=self.history.to_table(),
        )

    def _report(self, step: int, loss: Tensor, rate: float, *, epoch_ended: bool) -> None:
        """Tell the caller how far the phase is, not more often than it can be read."""
        now = time.monotonic()
        if self.progress is None or not (epoch_ended or now - self.last_report > _REPORT_SECONDS):
            return
        self.last_report = now
        validation = self.record.epochs[-1].validation if self.record.epochs else math.nan
        total = self.phase.epochs * self.steps
        self.progress(
            Progress(self.phase.name, step, total, loss.item(), validation, rate, epoch_ended)
        )


def _mean(values: Tensor, batch: Batch) -> Tensor:
    """Mean over the events of a batch, weighted if they are: (B,) -> ().

    It is not divided by the batch's own sum of weights: its fluctuations go with those of
    the losses, and would count the events of large weight too little.
    """
    return values.mean() if batch.weight is None else (values * batch.weight).mean()


def _sums(names: Sequence[str], means: Sequence[Tensor], counts: Sequence[int]) -> dict[str, float]:
    """Sums over batches of what has these means; the only look at what the device computed."""
    if not means:
        return {}
    sums = torch.tensor(counts, dtype=torch.float64) @ torch.stack(list(means)).cpu().double()
    return dict(zip(names, sums.tolist(), strict=True))


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    """Copy weights: an alias would follow the training and restore nothing."""
    return {name: value.detach().clone() for name, value in state.items()}
