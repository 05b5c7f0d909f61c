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
from collections.abc import Collection
from pathlib import Path

import torch

from lfi_mflow.data import EventFile
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows import Model, RatioEstimator
from lfi_mflow.simulation import Events
from lfi_mflow.training.objective import value_and_score

__all__ = ["TaughtFile"]

_BATCH = 2**14


class TaughtFile(EventFile):
    """An event file with the scores of a ratio estimator in the place of joint ones.

    Arguments:
        path: The file.
        teacher: The model of the ratio estimator.
        device: Where it computes.

    Raises:
        ModelMismatchError: If the model is no ratio estimator, or has other observables or
            parameters.
    """

    def __init__(self, path: Path | str, teacher: Model, device: torch.device) -> None:
        if not isinstance(teacher.flow, RatioEstimator):
            raise ModelMismatchError(
                "a ratio estimator, whose score is learnt",
                f"the model {teacher.metadata.preset}",
                "train one, such as nre-c, and give that",
            )
        super().__init__(path)
        for what in ("observable", "parameter"):
            names = [getattr(m, f"{what}_names") for m in (teacher.metadata.events, self.metadata)]
            if names[0] != names[1]:
                self.close()
                raise ModelMismatchError(
                    f"the {what}s {', '.join(names[0])} of the ratio estimator in {self.path}",
                    ", ".join(names[1]),
                    "use events with the same columns in the same order",
                )
        self._teacher = teacher.flow.to(device).eval()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays, with that of the scores."""
        return tuple(dict.fromkeys([*super().columns, "score"]))

    def read(self, rows: slice | None = None, columns: Collection[str] | None = None) -> Events:
        """Return the events of contiguous rows; their scores only if they are asked for."""
        events = super().read(rows, columns)
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
