"""One phase at work: epochs of steps, each validated and kept if it is the best.

Losses and gradient norms of an epoch are collected on the device and looked at
once per epoch, so that no step waits for the one before. A step whose gradient is
not finite changes nothing, and is counted. An epoch with too many of them is found
then, and the first step named; the checkpoint of the epoch before is what remains.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lfi_mflow.errors import DataError, TrainingError
from lfi_mflow.flows import Flow
from lfi_mflow.training.checkpoint import Checkpoint, CheckpointFile
from lfi_mflow.training.compilation import compiled
from lfi_mflow.training.distributed import Ranks
from lfi_mflow.training.events import Batch, TrainingEvents
from lfi_mflow.training.history import EpochRecord, History, PhaseRecord
from lfi_mflow.training.objectives import advice_on_failure, trained_part
from lfi_mflow.training.optimisers import OPTIMISERS
from lfi_mflow.training.phases import Phase, learning_rate_factor

__all__ = ["PhaseRun", "Progress", "ProgressCallback"]

_VALIDATION_BATCH = 2**14
_REPORT_SECONDS = 0.5
_MOST_SKIPPED = 0.01
"""Share of the steps of an epoch that may be left out."""


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


class PhaseRun:
    """One phase at work.

    Arguments:
        flow: The flow, on the device of the events; it is trained in place.
        phases: All phases of the run.
        index: Which of them this is.
        events: What to train on.
        history: What the phases before have left; this one adds its record.
        seed: Seed of the order of events, and of what the objective draws.
        progress: Called about twice a second and at the end of each epoch.

    Attributes:
        record: Losses by epoch.
    """

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
        like = next(self.part.parameters())
        losses, norms = like.new_full((2, self.steps), math.nan)  # a step not taken is found
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
        return min(_VALIDATION_BATCH, math.ceil(self.n_validation / self.ranks.size))

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
