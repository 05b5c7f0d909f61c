"""Walkers of D data sets, what they move on, and how they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import InputError
from lfi_mflow.inference.coordinates import PriorCoordinates
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moves import Move, Reference
from lfi_mflow.simulation.priors import Prior

__all__ = ["Kernel", "Step", "Target", "Walkers"]


_FAR = 12.0  # standard deviations of the prior


class Target:
    """The density that walkers move on, in coordinates phi where the prior is normal.

    Arguments:
        log_posterior: (W, p) -> (W,), or (D, W, p) -> (D, W) for D data sets.
        prior: The prior that is part of it.
        data_sets: D, or None for one data set without a leading dimension.

    Attributes:
        evaluations: Sequential evaluations so far.
    """

    def __init__(self, log_posterior: LogPosterior, prior: Prior, data_sets: int | None) -> None:
        self.coordinates = PriorCoordinates(prior)
        self.data_sets = data_sets
        self.evaluations = 0
        self._log_posterior = log_posterior

    def __call__(self, phi: Tensor) -> Tensor:
        """Log-density with respect to d phi: (D, W, p) -> (D, W).

        Raises:
            InputError: If the log-posterior is NaN.
        """
        with torch.no_grad():
            return self._evaluate(phi) + self.coordinates.log_jacobian(phi)

    def with_gradient(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density and its gradient by phi: (D, W, p) -> (D, W), (D, W, p).

        Further out than a standard normal ever gets the density is zero: a trajectory
        that has come off its course need not take the surrogate with it.

        Raises:
            InputError: If the log-posterior is NaN, or knows no gradient.
        """
        near = phi.clamp(-_FAR, _FAR).nan_to_num(nan=_FAR).requires_grad_()
        with torch.enable_grad():
            value = self._evaluate(near)
            if not value.requires_grad:
                raise InputError(
                    "a log-posterior that is differentiable in theta",
                    "one without a gradient",
                    "use the method mcmc instead",
                )
            value = value + self.coordinates.log_jacobian(near)
            (gradient,) = torch.autograd.grad(value.sum(), near)
        inside = (near == phi).all(-1)
        return torch.where(inside, value.detach(), -torch.inf), gradient.nan_to_num(nan=0.0)

    def _evaluate(self, phi: Tensor) -> Tensor:
        """Log-density with respect to d theta, checked: (D, W, p) -> (D, W)."""
        self.evaluations += 1
        theta = self.coordinates.theta(phi)
        given = theta if self.data_sets is not None else theta[0]
        value = self._log_posterior(given).to("cpu", torch.float64).reshape(phi.shape[:2])
        broken = torch.isnan(value)
        if broken.any():
            point = ", ".join(f"{number:.6g}" for number in theta[broken][0].tolist())
            raise InputError(
                "a log-posterior that is a number",
                f"NaN at theta = ({point})",
                "narrow the prior to where the model was trained, or train it again",
            )
        return value


@dataclass(frozen=True)
class Walkers:
    """Positions and their log-density.

    Arguments:
        phi: Positions, with shape (D, W, p).
        log_prob: Log-density with respect to d phi, with shape (D, W).
    """

    phi: Tensor
    log_prob: Tensor

    def half(self, which: int) -> Walkers:
        """Return the first (0) or second (1) half."""
        middle = self.phi.shape[1] // 2
        rows = slice(None, middle) if which == 0 else slice(middle, None)
        return Walkers(self.phi[:, rows], self.log_prob[:, rows])

    @staticmethod
    def join(first: Walkers, second: Walkers) -> Walkers:
        """Put two halves together."""
        return Walkers(
            torch.cat([first.phi, second.phi], dim=1),
            torch.cat([first.log_prob, second.log_prob], dim=1),
        )


@dataclass(frozen=True)
class Step:
    """Walkers after one Metropolis-Hastings step.

    Arguments:
        walkers: The new state.
        accepted: Which walkers moved, with shape (D, W).
        gain: Mean squared distance moved, in units of the reference's covariance.
    """

    walkers: Walkers
    accepted: Tensor
    gain: float


@dataclass(frozen=True)
class Kernel:
    """Moves with one reference: a fixed Markov kernel for each walker.

    Arguments:
        moves: The kinds of moves.
        reference: The points they are made from.
    """

    moves: Sequence[Move]
    reference: Reference

    def step(self, which: int, walkers: Walkers, target: Target, generator: Generator) -> Step:
        """Move all walkers once with the move of index ``which``; one evaluation."""
        old = walkers.phi
        proposal, log_factor = self.moves[which].propose(old, self.reference, generator)
        log_prob = target(proposal)
        # NaN, from -inf against -inf, compares false: the walker stays.
        log_ratio = log_prob - walkers.log_prob + log_factor
        uniform = torch.rand(log_ratio.shape, generator=generator, dtype=torch.float64)
        accepted = uniform.log() < log_ratio
        phi = torch.where(accepted.unsqueeze(-1), proposal, old)
        moved = self.reference.whiten(phi - old).square().sum(-1).mean()
        return Step(
            Walkers(phi, torch.where(accepted, log_prob, walkers.log_prob)), accepted, float(moved)
        )
