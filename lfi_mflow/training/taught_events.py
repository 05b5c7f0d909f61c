"""Events whose joint scores are those that a ratio estimator has learnt.

Few simulators know their joint score. But its mean over all histories of an event is all that
is learnt from it, the score of the event, and that is the gradient of what a ratio estimator
has learnt. An estimator is quick to train, on as many events as it takes; a density that
learns from its score is right about theta without having found it in the density itself.

References:
    | Mining gold from implicit models to improve likelihood-free inference
    | (Brehmer et al., 2018), https://arxiv.org/abs/1805.12244, for the joint score
    | Distilling the knowledge in a neural network
    | (Hinton et al., 2015), https://arxiv.org/abs/1503.02531
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lfi_mflow.data import EventSource
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows import Model, RatioEstimator
from lfi_mflow.simulation import Events
from lfi_mflow.training.objective import value_and_score

__all__ = ["TaughtEvents"]

_BATCH = 2**14


class TaughtEvents(EventSource):
    """Events with the scores of a ratio estimator in the place of joint ones.

    Arguments:
        events: The events.
        teacher: The model of the ratio estimator.
        device: Where it computes.

    Raises:
        ModelMismatchError: If the model is no ratio estimator, or has other observables or
            parameters.
    """

    def __init__(self, events: EventSource, teacher: Model, device: torch.device) -> None:
        if not isinstance(teacher.flow, RatioEstimator):
            raise ModelMismatchError(
                "a ratio estimator, whose score is learnt",
                f"the model {teacher.metadata.preset}",
                "train one, such as nre-c, and give that",
            )
        for what in ("observable", "parameter"):
            taught, found = teacher.metadata.events, events.metadata
            names = [getattr(known, f"{what}_names") for known in (taught, found)]
            if names[0] != names[1]:
                raise ModelMismatchError(
                    f"the {what}s {', '.join(names[0])} of the ratio estimator in {events.name}",
                    ", ".join(names[1]),
                    "use events with the same columns in the same order",
                )
        self._events, self._teacher = events, teacher.flow.to(device).eval()
        self.name, self.metadata, self.digest = events.name, events.metadata, events.digest

    def close(self) -> None:
        """Close what the events are read from."""
        self._events.close()

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self._events)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays, with that of the scores."""
        return tuple(dict.fromkeys([*self._events.columns, "score"]))

    def arrays(self, rows: slice, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return some of the arrays that are stored in contiguous rows."""
        return self._events.arrays(rows, names)

    def stored_together(self, rows: slice) -> list[slice]:
        """Cut rows into such blocks as are read in one piece."""
        return self._events.stored_together(rows)

    def read(self, rows: slice | None = None, columns: Collection[str] | None = None) -> Events:
        """Return the events of contiguous rows; their scores only if they are asked for."""
        events = self._events.read(rows, columns)
        if columns is None or "score" not in columns:
            return events
        like = self._teacher.theta_mean
        x, theta = (torch.from_numpy(values).to(like) for values in (events.x, events.theta))
        scores = [
            self._score(*some) for some in zip(x.split(_BATCH), theta.split(_BATCH), strict=True)
        ]
        return dataclasses.replace(events, score=torch.cat(scores).cpu().numpy())

    @torch.no_grad()
    def _score(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Gradient of the log-ratio in theta: (B, d), (B, p) -> (B, p)."""
        return value_and_score(lambda theta: self._teacher.log_ratio(x, theta), theta)[1]
