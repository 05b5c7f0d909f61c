"""What training makes of the weights of events.

Likelihood phases need weights that are not negative: where a region has a negative
sum of weights, the weighted log-likelihood grows without bound as the density there
goes to zero. The manifold is where events are, whatever they weigh, so that a
schedule that trains nothing else takes signed samples, and counts all events
equally. Absolute values are never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lfi_mflow.data import EventSource
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import WeightSummary
from lfi_mflow.training.phases import Phase

__all__ = ["WeightUse", "check_weights"]

_REMEDY = "give more events, or weights that vary less"


@dataclass(frozen=True)
class WeightUse:
    """The weights of training events, and whether they are used.

    Arguments:
        summary: The weights in numbers.
        used: False for signed weights, which a chart is trained without.
    """

    summary: WeightSummary
    used: bool

    def to_table(self) -> dict[str, Any]:
        """Return plain values for the metadata of a model."""
        return {
            "used": self.used,
            "negative": self.summary.negative,
            "sum": self.summary.total,
            "effective_sample_size": self.summary.effective_sample_size,
        }


def check_weights(file: EventSource, schedule: Sequence[Phase]) -> WeightUse | None:
    """Check that a schedule can be trained with the weights of a file.

    Weights that are not finite belong to events that are left out, and do not count.

    Arguments:
        file: The events.
        schedule: The phases.

    Returns:
        What is made of the weights; None if there are none.

    Raises:
        DataError: If some are negative and a phase needs positive ones, their sum is
            not positive, or fewer than 50 events are effective.
    """
    if "weight" not in file.columns:
        return None
    blocks = file.column_blocks("weight")
    summary = WeightSummary.of(block[np.isfinite(block)] for block in blocks)
    where = f"in {file.name}"
    if not summary.negative:
        summary.check(where, _REMEDY)
        return WeightUse(summary, used=True)
    needy = [phase for phase in schedule if phase.minimises.needs_positive_weights]
    if needy:
        if not summary.total > 0.0:  # no resampling helps
            summary.check(where, _REMEDY)
        raise DataError(
            f"weights >= 0 {where}, for the objective {needy[0].objective!r}",
            f"{summary.negative:,} negative ones of {summary.n_events:,}: the weighted loss is "
            "unbounded, it falls forever where the model gives them no probability",
            f"make them positive with `lfi-mflow resample {file.name} -o positive.h5`, or train "
            "the chart only, which needs no weights, with `--algorithm chart`",
        )
    return WeightUse(summary, used=False)
