"""The likelihood of a set of events as a function of theta.

For N events that share theta, log L(theta) = sum_i log p(x_i | theta). A flow
whose chart does not see theta splits each term into a constant of the event and
log p_h(u_i | theta): the events are encoded once, and every evaluation touches
the n-dimensional latent density only.

The terms are computed in the precision of the flow and added up in float64: a
float32 sum is wrong by 0.06 at 1e5 events and by 0.5 at 1e6, which is no longer
small beside the differences that a posterior is made of. From 20,000 events on the
latent density itself is evaluated in float64: the rounding of float32 terms adds up
to 0.006 at 1e5 events, at random from theta to theta, and no polynomial goes
through that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.inference.blocks import Block, Layout, slices
from lfi_mflow.inference.known import KnownParameters
from lfi_mflow.simulation.priors import Normal, Prior

__all__ = [
    "EventSetLikelihood",
    "LogPosterior",
    "log_posterior",
    "log_prior",
]

LogPosterior = Callable[[Tensor], Tensor]
"""A log-density of parameters, not necessarily normalised: (..., p) -> (...).

Of D data sets at once: (D, ..., p) -> (D, ...). Samplers, grids, limits and
closure tests know nothing else.
"""

DEFAULT_MAX_ELEMENTS = 2**16
"""Pairs of event and theta per call: large enough to hide the call overhead of a
flow, small enough to keep its activations near 100 MB."""

_CPU_MAX_ELEMENTS = 2**14
"""The same on a CPU, where smaller activations stay in its caches."""

_DOUBLE_FROM = 20_000

_PREVIEW, _GROWTH = 1_000, 32
"""Events of the smallest preview, and how many times more the next one has. A part of
the n-th of the events has a posterior sqrt(n) times as wide."""


class EventSetLikelihood:
    """Log-likelihood of one set of events, or of D sets at once, under a flow.

    Arguments:
        flow: The flow, in evaluation mode.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events, in the
            precision and on the device of the flow.
        known: Parameters that differ from event to event and are known for each: index of
            the column of theta -> values, with shape (N,) or (D, N). The likelihood is then
            a function of the other columns, in their order.
        max_elements: Pairs of event and theta that go through the flow at a time; None
            for a number that suits the device.

    Attributes:
        encoded: Latents, distances and constants, with leading shape (N,) or (D, N).

    Raises:
        InputError: If ``x`` or ``known`` has another shape, or the chart is conditional: then
            there is nothing to encode before theta is known, see :func:`likelihood_of`.
        ModelMismatchError: If the model has no density.
        DataError: If an event cannot be encoded (NaN or infinite).

    Example:
        >>> likelihood = EventSetLikelihood(flow, x)  # doctest: +SKIP
        >>> likelihood(torch.zeros(100, 1)).shape  # doctest: +SKIP
        torch.Size([100])
    """

    def __init__(
        self,
        flow: Flow,
        x: Tensor,
        *,
        known: Mapping[int, Tensor] | None = None,
        max_elements: int | None = None,
    ) -> None:
        check_events(tuple(x.shape), flow.data_dim)
        if "log_prob" in flow.lacks:
            raise flow.missing("log_prob")
        self._double = x.shape[-2] >= _DOUBLE_FROM and x.device.type != "mps"  # it has no float64
        self._flow = copy.deepcopy(flow).double() if self._double else flow
        self._known = KnownParameters.of(known, flow.theta_dim, x) if known else None
        if max_elements is None:
            max_elements = _CPU_MAX_ELEMENTS if x.device.type == "cpu" else DEFAULT_MAX_ELEMENTS
        dim = len(self._known.others) if self._known else flow.theta_dim
        self._layout = Layout.of(tuple(x.shape), dim, max_elements)
        self._take(_encode(flow, x, max_elements))

    @property
    def layout(self) -> Layout:
        """How the sets of events meet parameter points."""
        return self._layout

    def _take(self, encoded: EncodedEvents) -> None:
        """Keep what the chart says of the events."""
        self.encoded = encoded
        u = encoded.u.reshape(*self._layout.events, -1)
        self._u = u.double() if self._double else u
        self._constants = encoded.log_constant.reshape(self._layout.events)
        self._constant = sum_events(self._constants)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-likelihood in float64; differentiable in theta.

        Arguments:
            theta: Parameters, with shape (..., p), or (D, ..., p) for D sets.

        Raises:
            InputError: If theta has another shape.
        """
        flat = self._layout.flatten(theta).to(self._u)
        differentiate = torch.is_grad_enabled() and theta.requires_grad
        with torch.set_grad_enabled(differentiate):
            several = self._layout.has_several_blocks(flat.shape[1])
            terms = self._forgetful_sum if differentiate and several else self._sum_of_terms
            total = self._layout.add_up(terms, flat) + self._constant[:, None]
        return total.reshape(theta.shape[:-1]).to(theta.device)

    def previews(self) -> list[EventSetLikelihood]:
        """Likelihoods of growing parts of the events, for a first look at little cost.

        None where the events are few. The parts are chosen at random, always the same,
        so that they do not depend on an order of the events.
        """
        events = self._layout.events[1]
        sizes = [_PREVIEW * _GROWTH**step for step in range(events.bit_length())]
        return [self._part(size) for size in sizes if 8 * size <= events]

    def terms(self, block: Block, theta: Tensor) -> Tensor:
        """Log-likelihood of each event of a block, without its constant.

        Arguments:
            block: Which sets and events.
            theta: Parameters of these sets, with shape (D', T', p).

        Returns:
            Terms with shape (D', T', N').
        """
        u = self._u[block.sets, block.events].unsqueeze(1)
        if self._known is None:
            return self._flow.log_prob_latent(u, theta.unsqueeze(2))
        return self._flow.log_prob_latent(u, self._known.complete(theta, block))

    def full_terms(self, block: Block, theta: Tensor) -> Tensor:
        """Log-likelihood of each event of a block: theta (D', T', p) -> (D', T', N')."""
        constants = self._constants[block.sets, None, block.events]
        return self.terms(block, theta) + constants.to(self._u)

    def _share(self, other: EventSetLikelihood) -> None:
        """Take the events and their layout from another likelihood, but no constant."""
        self._layout, self._u, self.encoded = other._layout, other._u, other.encoded
        self._constant = torch.zeros(self._layout.events[0], dtype=torch.float64)

    def _sum_of_terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        return sum_events(self.terms(block, theta))

    def _forgetful_sum(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block that is evaluated again for its gradient.

        What a gradient needs of one block fits into memory, that of all blocks does not.
        """
        return checkpoint(
            self._sum_of_terms, block, theta, use_reentrant=False, preserve_rng_state=False
        )

    def _part(self, events: int) -> EventSetLikelihood:
        """Return the likelihood of some of the events of each set."""
        total = self._layout.events[1]
        order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
        rows = order[:events].sort().values.to(self._u.device)
        part = copy.copy(self)
        part._layout = replace(self._layout, events=(self._layout.events[0], events))
        part._known = None if self._known is None else self._known.part(rows)
        fields = (self.encoded.u, self.encoded.distance, self.encoded.log_constant)
        dim = int(self._layout.batched)
        part._take(EncodedEvents(*(field.index_select(dim, rows) for field in fields)))
        return part


def log_prior(prior: Prior) -> LogPosterior:
    """Return the log-density of a prior as a function of tensors, differentiable in theta.

    Arguments:
        prior: The prior over p parameters.

    Returns:
        A function (..., p) -> (...) in float64, -inf outside the support.
    """
    normal = torch.tensor([isinstance(marginal, Normal) for marginal in prior.marginals])
    low, high = torch.as_tensor(prior.low), torch.as_tensor(prior.high)
    # The columns of the other kind hold harmless numbers: torch.where sees all branches.
    mean = torch.tensor([getattr(marginal, "mean", 0.0) for marginal in prior.marginals]).double()
    sd = torch.tensor([getattr(marginal, "sd", 1.0) for marginal in prior.marginals]).double()
    width = torch.where(normal, 1.0, high - low)

    def log_density(theta: Tensor) -> Tensor:
        values = theta.to("cpu", torch.float64)
        if values.shape[-1] != prior.dim:
            raise InputError(
                f"theta of shape (..., {prior.dim})",
                f"shape {tuple(theta.shape)}",
                "give one column per parameter",
            )
        inside = (values >= low) & (values <= high)
        uniform = torch.where(inside, -width.log(), -math.inf)
        gaussian = -0.5 * ((values - mean) / sd) ** 2 - sd.log() - 0.5 * math.log(2 * math.pi)
        return torch.where(normal, gaussian, uniform).sum(-1).to(theta.device)

    return log_density


def log_posterior(likelihood: LogPosterior, prior: Prior) -> LogPosterior:
    """Return log L(theta) + log p(theta), whose integral is the evidence.

    Outside the support of the prior it is -inf, whatever the likelihood says there.
    """
    prior_density = log_prior(prior)

    def log_density(theta: Tensor) -> Tensor:
        density = prior_density(theta)
        total = likelihood(theta) + density
        return torch.where(torch.isneginf(density), density, total)

    return log_density


def sum_events(terms: Tensor) -> Tensor:
    """Add up the last dimension with a float64 accumulator; the sum is on the CPU."""
    if terms.device.type == "mps":  # it has no float64
        return terms.cpu().sum(-1, dtype=torch.float64)
    return terms.sum(-1, dtype=torch.float64).cpu()


def _encode(flow: Flow, x: Tensor, rows: int) -> EncodedEvents:
    """Encode events block by block, and refuse those that cannot be encoded."""
    flat = x.reshape(-1, x.shape[-1])
    with torch.no_grad():
        parts = [flow.encode_events(flat[chosen]) for chosen in slices(len(flat), rows)]
    u = torch.cat([part.u for part in parts])
    constant = torch.cat([part.log_constant for part in parts])
    distance = torch.cat([part.distance for part in parts])
    bad = torch.nonzero(~(torch.isfinite(u).all(-1) & torch.isfinite(constant)))
    if len(bad):
        raise DataError(
            "events that the model can encode",
            f"{len(bad)} of {len(flat)} with a latent or volume term that is not finite, "
            f"the first in row {int(bad[0, 0])}",
            "check these rows for NaN, infinite or absurdly large values",
        )
    leading = x.shape[:-1]
    return EncodedEvents(
        u.reshape(*leading, -1), distance.reshape(leading), constant.reshape(leading)
    )


def check_events(shape: tuple[int, ...], data_dim: int | None) -> None:
    """Fail unless the shape is (N, d) or (D, N, d) with at least one event."""
    right_d = data_dim is None or shape[-1:] == (data_dim,)
    if len(shape) not in (2, 3) or 0 in shape or not right_d:
        wanted = "d" if data_dim is None else str(data_dim)
        raise InputError(
            f"events of shape (N, {wanted}) or (D, N, {wanted}) with N >= 1",
            f"shape {shape}",
            "give one row per event and one column per observable",
        )
