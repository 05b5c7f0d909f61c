"""A flow as numpy functions: float64 arrays in and out, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.closure.published import Array
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.ratio import RatioEstimator

__all__ = ["FlowEvaluator"]

_BATCH = 10_000
"""Events at a time: many small operations, which cost the same for fewer."""
_NUMBERS = 400_000
"""Observables of all of them together, which bound the memory where events are images."""


class FlowEvaluator:
    """Samples, projections and densities of a flow for arrays of events.

    Arguments:
        flow: The flow; it is evaluated where it lives and in its precision.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow.eval()
        floating = (
            tensor
            for tensor in chain(flow.parameters(), flow.buffers())
            if tensor.is_floating_point()
        )
        self._like = next(floating, torch.zeros(0))

    def tensor(self, values: Array) -> Tensor:
        """Return values in the precision and on the device of the flow."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._like)

    def sample(self, theta: Array, seed: int) -> Array:
        """Draw one event per row of theta: (N, p) -> (N, d)."""
        generator = torch.Generator(device=self._like.device).manual_seed(seed)
        return self._batched(lambda rows: self.flow.sample(rows, generator), theta)

    def project(self, x: Array, theta: Array) -> Array:
        """Project events on the learned manifold at theta: (N, d), (N, p) -> (N, d)."""
        return self._batched(self.flow.project, x, theta)

    def encode(self, x: Array, theta: Array) -> Array:
        """Latents of events at theta: (N, d), (N, p) -> (N, n)."""
        return self._batched(self.flow.encode, x, theta)

    def distance(self, x: Array, theta: Array) -> Array:
        """Distance of events to the learned manifold at theta: (N, d), (N, p) -> (N,)."""
        return self._batched(self.flow.reconstruction_error, x, theta)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-density in original units: (N, d), (N, p) -> (N,)."""
        return self._batched(self.flow.log_prob, x, theta)

    def log_ratio(self, x: Array, theta: Array) -> Array:
        """Log-ratio to its denominator by a ratio estimator: (N, d), (N, p) -> (N,).

        Raises:
            ModelMismatchError: If the model is none.
        """
        if not isinstance(self.flow, RatioEstimator):
            raise ModelMismatchError(
                "a ratio estimator", type(self.flow).__name__, "choose another model"
            )
        return self._batched(self.flow.log_ratio, x, theta)

    def _batched(self, function: Callable[..., Tensor], *arrays: Array) -> Array:
        """Apply a function to batches of rows."""
        batch = max(1, min(_BATCH, _NUMBERS // self.flow.data_dim))
        starts = range(0, len(arrays[0]), batch)
        with torch.no_grad():
            parts = [
                function(*(self.tensor(array[start : start + batch]) for array in arrays))
                for start in starts
            ]
        return torch.cat(parts).cpu().double().numpy()
