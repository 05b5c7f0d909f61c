"""A flow as a likelihood estimator of sbi, for those whose analysis lives there.

sbi's posteriors (rejection, MCMC, variational, importance sampling) take a
density estimator of the likelihood: ``log_prob`` of S x B events given B
parameter points, with shape (S, B). This module wraps a flow in that contract. Use it
by way of :mod:`lfi_mflow.inference.sbi`: only the two of them import sbi, which is large.

Three things cost time or digits in sbi's potentials, and are dealt with here.
The observed events are passed again at every evaluation, repeated for every
theta: they are encoded once and recognised afterwards. All events meet all
thetas in one call: the latent density is evaluated in blocks. The terms of the
events are added up in the precision in which they come: they come in float64.

References:
    | sbi reloaded: a toolkit for simulation-based inference workflows (Boelts et al., 2024)
    | https://arxiv.org/abs/2411.17337
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from sbi.neural_nets.estimators.base import ConditionalDensityEstimator
from torch import Generator, Tensor

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.inference.likelihood import DEFAULT_MAX_ELEMENTS, EventSetLikelihood

__all__ = ["FlowEstimator", "as_sbi_estimator", "check_flow"]


def as_sbi_estimator(
    flow: Flow, *, max_elements: int = DEFAULT_MAX_ELEMENTS
) -> ConditionalDensityEstimator:
    """Return a trained flow as sbi's estimator of the likelihood p(x | theta).

    The estimator owns a copy of the flow, in evaluation mode and with frozen
    weights: sbi moves it between devices and pickles it, and ``flow`` stays what
    it is. ``loss`` is for validation; to go on training in sbi, call
    ``requires_grad_(True)`` on the estimator first.

    Its ``log_prob(input, condition)`` takes events with shape (S, B, d) or (B, d)
    and parameters with shape (B, p) or (S, B, p), of any floating type, and returns
    (S, B) in float64, with respect to the flow's ``reference`` measure. It is
    differentiable in theta, and in x while x requires a gradient.

    Warning:
        A density knows only the projections of the events on the manifold.
        Whether the events are on it at all, sbi cannot see: ask
        :func:`~lfi_mflow.inference.off_manifold_p_value`.

    See Also:
        :func:`~lfi_mflow.inference.infer_posterior`, which gives the same posterior
        with convergence diagnostics.

    Arguments:
        flow: A trained flow of events with shape (d,) given parameters with shape (p,).
        max_elements: Pairs of event and theta that go through the flow at a time.

    Raises:
        ModelMismatchError: If the flow has no density, or its chart depends on theta.
        ValueError: From ``log_prob``, ``loss`` and ``sample``, in sbi's words, if x has
            not d columns or theta not p.
        InputError: From ``log_prob`` and ``loss``, if there are no events or no thetas.
        DataError: From ``log_prob`` and ``loss``, if an event cannot be encoded (NaN
            or infinite).

    Example:
        >>> from sbi.inference import RejectionPosterior, likelihood_estimator_based_potential
        >>> from sbi.utils import BoxUniform
        >>> from lfi_mflow.flows import Dimensions, build_flow
        >>> flow = build_flow("m-flow", Dimensions(data=3, latent=2, theta=1), {})
        >>> observed = flow.sample(torch.zeros(10, 1)).detach()
        >>> prior = BoxUniform(-torch.ones(1), torch.ones(1))
        >>> estimator = as_sbi_estimator(flow)  # of a file: load_model(path).flow
        >>> potential, _ = likelihood_estimator_based_potential(estimator, prior, observed)
        >>> posterior = RejectionPosterior(potential, prior, num_iter_to_find_max=10)
        >>> posterior.sample((100,), x=observed, show_progress_bars=False).shape
        torch.Size([100, 1])
    """
    check_flow(flow)
    return FlowEstimator(copy.deepcopy(flow).requires_grad_(False), max_elements)


def check_flow(flow: Flow) -> None:
    """Fail unless sbi can use a flow.

    Raises:
        ModelMismatchError: If the flow has no density, or its chart depends on theta.
    """
    if "log_prob" in flow.lacks:
        raise flow.missing("log_prob")
    if flow.conditional:
        raise ModelMismatchError(
            "a chart that does not depend on theta",
            "a conditional one",
            "use lfi_mflow.inference.likelihood_of",
        )


@dataclass(frozen=True)
class _Known:
    """Events that were encoded, and the state of the weights that encoded them."""

    weights: list[tuple[int, int]]
    x: Tensor
    encoded: EncodedEvents


class FlowEstimator(ConditionalDensityEstimator):  # type: ignore[misc]  # sbi has no types
    """The estimator of :func:`as_sbi_estimator`; the shapes are documented there.

    Arguments:
        flow: The flow that it owns.
        max_elements: Pairs of event and theta that go through the flow at a time.
    """

    net: Flow

    def __init__(self, flow: Flow, max_elements: int = DEFAULT_MAX_ELEMENTS) -> None:
        super().__init__(flow, (flow.data_dim,), (flow.theta_dim,))
        self.eval()
        self._max_elements = max_elements
        self._known: _Known | None = None

    def log_prob(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:  # noqa: A002 - sbi's
        """Log-density: (S, B, d) or (B, d), (B, p) or (S, B, p) -> (S, B), in float64."""
        self._check_input_shape(input)
        self._check_condition_shape(condition)
        x, theta, _ = self._broadcast_and_align(input, condition)
        shape = x.shape[:2]
        if 0 in shape:
            raise InputError(
                "at least one event and one theta",
                f"shapes {tuple(input.shape)} and {tuple(condition.shape)}",
                "leave the call out when there is nothing to evaluate",
            )
        x, theta = self._native(_without_repeats(x)), self._native(_without_repeats(theta))
        encoded = self._encode(x.flatten(0, 1))
        u = encoded.u.reshape(*x.shape[:2], -1)
        constant = _accumulable(encoded.log_constant.reshape(x.shape[:2]))
        return constant + self._log_prob_latent(u, theta, shape)

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:  # noqa: A002 - sbi's
        """Negative log-density of each event: (B, d), (B, p) -> (B,)."""
        return -self.log_prob(input.unsqueeze(0), condition)[0]

    def sample(
        self,
        sample_shape: torch.Size | tuple[int, ...],
        condition: Tensor,
        generator: Generator | None = None,
        **_: Any,
    ) -> Tensor:
        """Draw events: K = ``sample_shape``, (B, p) -> (*K, B, d); seeded if a generator is given.

        Without a generator the draws come from torch's global one, as sbi's do.
        """
        self._check_condition_shape(condition)
        theta = self._native(condition).expand(*sample_shape, *condition.shape)
        draws = self.net.sample(theta.reshape(-1, self.net.theta_dim), generator)
        return draws.reshape(*theta.shape[:-1], self.net.data_dim)

    def _native(self, values: Tensor) -> Tensor:
        """Values in the precision and on the device of the flow; sbi knows float32 only."""
        return values.to(next(self.net.parameters()))

    def _encode(self, x: Tensor) -> EncodedEvents:
        """Encode events (N, d), unless they are those of the call before."""
        trained = any(weight.requires_grad for weight in self._encoder())
        if torch.is_grad_enabled() and (trained or x.requires_grad):
            return self.net.encode_events(x)
        weights = self._state_of_weights()
        known = self._known
        if known is None or known.weights != weights or not torch.equal(known.x, x):
            encoded = EventSetLikelihood(self.net, x, max_elements=self._max_elements).encoded
            self._known = known = _Known(weights, x.detach().clone(), encoded)
        return known.encoded

    def _encoder(self) -> list[Tensor]:
        """Weights and buffers that events are encoded with: all but those of the density."""
        named = (*self.net.named_parameters(), *self.net.named_buffers())
        return [tensor for name, tensor in named if not name.startswith("latent.")]

    def _state_of_weights(self) -> list[tuple[int, int]]:
        """Changes with every step of training, loading and moving of the encoder."""
        return [(tensor.data_ptr(), tensor._version) for tensor in self._encoder()]

    def _log_prob_latent(self, u: Tensor, theta: Tensor, shape: torch.Size) -> Tensor:
        """Latent density in blocks: u and theta (S or 1, B or 1, ...) -> (S, B)."""
        width = min(shape[1], self._max_elements)
        height = self._max_elements // width
        columns = [
            torch.cat([self._block(u, theta, (rows, some)) for rows in _slices(shape[0], height)])
            for some in _slices(shape[1], width)
        ]
        return torch.cat(columns, dim=1)

    def _block(self, u: Tensor, theta: Tensor, block: tuple[slice, slice]) -> Tensor:
        """Latent density of a block of rows (events) and columns (thetas)."""
        return _accumulable(self.net.log_prob_latent(_cut(u, block), _cut(theta, block)))


def _without_repeats(values: Tensor) -> Tensor:
    """Undo the expansion of the leading dimensions: (S, B, k) -> (S or 1, B or 1, k)."""
    for dim in (0, 1):
        if values.stride(dim) == 0:
            values = values.narrow(dim, 0, 1)
    return values


def _cut(values: Tensor, block: tuple[slice, slice]) -> Tensor:
    """Cut a block out of (S or 1, B or 1, k); a dimension of one stays for broadcasting."""
    rows, columns = (
        part if size != 1 else slice(None)
        for part, size in zip(block, values.shape[:2], strict=True)
    )
    return values[rows, columns]


def _slices(length: int, step: int) -> list[slice]:
    """Cut a range into slices."""
    return [slice(start, start + step) for start in range(0, length, step)]


def _accumulable(terms: Tensor) -> Tensor:
    """Terms that can be added up by the thousand: in float64, where the device has it."""
    return terms if terms.device.type == "mps" else terms.double()
