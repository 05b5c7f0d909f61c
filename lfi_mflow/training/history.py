"""The record of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["EpochRecord", "History", "PhaseRecord"]


@dataclass(frozen=True)
class EpochRecord:
    """Mean losses of one epoch.

    Arguments:
        epoch: Its number, from 0.
        train: Mean training loss.
        validation: Mean validation loss at the end of the epoch.
        learning_rate: Learning rate of the last step.
        seconds: Wall-clock time.
        validation_parts: Means of what else the objective says of validation events.
        skipped: Number of steps that were left out, because their gradient was not finite.
    """

    epoch: int
    train: float
    validation: float
    learning_rate: float
    seconds: float
    validation_parts: dict[str, float] = field(default_factory=dict)
    skipped: int = 0


@dataclass
class PhaseRecord:
    """The epochs of one phase.

    Arguments:
        name: Name of the phase.
        objective: Name of its objective.
        keeps: Whether the weights of its best epoch are kept, or of its last.
        epochs: The epochs so far.
        measures: Whether the training losses measure what the validation losses do, or
            are values of a surrogate, which say nothing.
    """

    name: str
    objective: str
    keeps: Literal["best", "last"] = "best"
    epochs: list[EpochRecord] = field(default_factory=list)
    measures: Literal["loss", "surrogate"] = "loss"

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept: that with the smallest validation loss, or the last.

        The last, where the loss does not measure success.
        """
        if self.keeps == "last":
            return self.epochs[-1].epoch
        return min(self.epochs, key=lambda record: record.validation).epoch

    @property
    def diverged(self) -> bool:
        """Whether both losses ended above where the first of at least three epochs left them.

        A validation loss that rises alone is overfitting, or noise; with a surrogate, it is
        all there is.
        """
        first, last = self.epochs[0], self.epochs[-1]
        rose = last.validation > first.validation and (
            last.train > first.train or self.measures == "surrogate"
        )
        return rose and len(self.epochs) > 2 and self.keeps == "best"

    @property
    def seconds(self) -> float:
        """Wall-clock time of the phase."""
        return sum(record.seconds for record in self.epochs)


@dataclass
class History:
    """The phases of one run.

    Arguments:
        phases: The phases so far.
    """

    phases: list[PhaseRecord] = field(default_factory=list)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "phases": [
                {
                    **dataclasses.asdict(phase),
                    "best_epoch": phase.best_epoch,
                    "diverged": phase.diverged,
                    "seconds": phase.seconds,
                }
                for phase in self.phases
            ]
        }

    @staticmethod
    def from_table(table: dict[str, Any]) -> History:
        """Rebuild the history from :meth:`to_table`."""
        return History(
            [
                PhaseRecord(
                    phase["name"],
                    phase["objective"],
                    phase["keeps"],
                    [EpochRecord(**record) for record in phase["epochs"]],
                    phase.get("measures", "loss"),
                )
                for phase in table["phases"]
            ]
        )
