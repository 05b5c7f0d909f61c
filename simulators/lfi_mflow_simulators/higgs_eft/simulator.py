r"""The simulator: events, and all that is known exactly about them.

Every event has six components c_k, the parts of its cross-section that go with the
monomials of theta. They are sums over the two assignments a of the jets, so that

    p(x | theta) = sum_a sum_k c_ak m_k(theta) / sum_k sigma_k m_k(theta)

up to a factor without theta: likelihood ratio and score are exact. The joint ones
("gold") are those of one assignment, drawn from p(a | x, theta), and differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import (
    Array,
    Events,
    Morphed,
    Parameter,
    component_log_ratio,
    component_score,
    monomials,
    morph,
)
from lfi_mflow_simulators.higgs_eft.amplitude import differential_cross_section
from lfi_mflow_simulators.higgs_eft.closure import kinematic_closure
from lfi_mflow_simulators.higgs_eft.cuts import find_cut
from lfi_mflow_simulators.higgs_eft.features import OBSERVABLES, features, read_objects
from lfi_mflow_simulators.higgs_eft.kinematics import hard_event, read_latents
from lfi_mflow_simulators.higgs_eft.partons import parton_densities
from lfi_mflow_simulators.higgs_eft.rates import rate_components
from lfi_mflow_simulators.higgs_eft.sampler import Pilot, Proposals, draw_proposals, pilot
from lfi_mflow_simulators.higgs_eft.unweighting import draw_unweighted

__all__ = ["SAMPLINGS", "HiggsEFT"]

SAMPLINGS = ("weighted", "unweighted")
"""The kinds of samples."""

_NOISE = 0.1
# Rows worked on at a time: the arrays of a block stay in the cache. Part of what a
# seed means, because the draws of a block follow each other.
_BLOCK = 8192


class HiggsEFT:
    """Simulator of Higgs production by WW fusion, with two Wilson coefficients.

    p p -> H j j, H -> gamma gamma at 13 TeV with the operators O_W (theta1) and
    O_W~ (theta2): 40 observables on a manifold of 14 dimensions.

    Weighted events are native: they are drawn from one density for all theta, and
    the weight of an event is p(x | theta) over it, at the theta of its row, with a
    mean of one. With ``weight * exp(-log_ratio)`` the same events follow
    ``joint_reference``, and keep their joint ratio and score. Unweighted events are
    accepted with a probability proportional to the weight, up to a bound; see
    :mod:`unweighting` for the 10^-4 of the cross-section that lies above it.

    The components of the events contain their weights: their means over a sample are
    the components of the cross-section in pb. The scale of weights and components is
    known to 0.2 %, the same for all events, and drops out of ratios and scores.

    Arguments:
        theta_scale: Unit of theta: 1, or 10 for that of the published study, where
            effects of theta are ten times larger.
        parton_density: ``les-houches`` or ``lhc``.
        cuts: ``analysis`` or, without cuts on photons, ``jets``.
        sampling: ``weighted`` or ``unweighted``.
        bound: Largest |theta_i| accepted; ``"inf"`` for a normal prior.
        reference: Denominator of the joint ratio.

    Attributes:
        rates: Components of the cross-section in pb, with shape (6,).
        test_points: Where the published study compares models.

    Raises:
        UnknownNameError: If there is nothing of that name.
        InputError: If a number is out of range.

    References:
        J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
        density estimation, 2020, arXiv:2003.13913, section 4.D.
    """

    name = "higgs-eft"
    observables = OBSERVABLES
    manifold_dim = 14
    test_points = ((0.0, 0.0), (0.5, 0.0), (-1.0, -1.0))

    def __init__(
        self,
        theta_scale: float = 1.0,
        parton_density: str = "les-houches",
        cuts: str = "analysis",
        sampling: str = "weighted",
        bound: float | str = 1.0,
        reference: Sequence[float] = (0.0, 0.0),
    ) -> None:
        parton_densities(parton_density)
        find_cut(cuts)
        if sampling not in SAMPLINGS:
            raise UnknownNameError("kind of sample", str(sampling), SAMPLINGS)
        _require(0.0 < theta_scale < math.inf, "a positive scale of theta", theta_scale)
        # The word "inf" is no number where settings are written as JSON.
        bound = float(bound)
        _require(bound > 0.0, "a positive bound of theta", bound)
        self.joint_reference = tuple(float(value) for value in reference)
        _require(
            len(self.joint_reference) == 2 and bool(np.isfinite(self.joint_reference).all()),
            "two finite numbers as the reference",
            reference,
        )
        self.parameters = tuple(
            Parameter(f"theta{i}", -bound, bound, latex=rf"\theta_{i}") for i in (1, 2)
        )
        self._densities, self._cuts, self._sampling = parton_density, cuts, sampling
        # The monomials grow with the power of the scale that goes with their degree.
        self._scales = monomials(np.full((1, 2), float(theta_scale)))[0]
        self.rates = rate_components(parton_density, cuts) * self._scales

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 2).

        The events hold weights (of weighted samples), the joint log-ratio and score,
        the 14 coordinates of :data:`kinematics.LATENTS` and the six components.
        """
        theta = np.asarray(theta, dtype=float)
        starts = range(0, max(len(theta), 1), _BLOCK)
        return Events.concatenate(
            [self._draw(theta[start : start + _BLOCK], rng) for start in starts]
        )

    def components(self, x: Array) -> Array:
        """Components of d sigma/(dy1 dy2 dyH d2pT1 d2pT2) in pb/GeV^4: (N, 40) -> (N, 6).

        They are functions of the jets and of the rapidity of the photon pair alone;
        events off the manifold count as the point with the same ones. They are zero
        beyond the collision energy, and NaN where there is no jet at all.
        """
        with np.errstate(all="ignore"):
            event = hard_event(read_objects(x))
            parts = differential_cross_section(event, parton_densities(self._densities))
        return np.asarray(parts.sum(axis=0).T * self._scales)

    def latents(self, x: Array) -> Array:
        """Coordinates of events on the manifold, as in ``Events.latent``: (N, 40) -> (N, 14)."""
        return np.ascontiguousarray(read_latents(read_objects(x)).T)

    def log_ratio(self, x: Array, theta: Array, reference: Array) -> Array:
        """Exact log p(x | theta) / p(x | reference), with shape (N,).

        It is NaN where both densities are zero: beyond the collision energy.

        Arguments:
            x: Events, with shape (N, 40).
            theta: Parameters, with shape (N, 2); one row serves all events.
            reference: Parameters of the denominator, with shape (N, 2) or (1, 2).
        """
        return component_log_ratio(self.components(x), theta, reference, self.rates)

    def score(self, x: Array, theta: Array) -> Array:
        """Exact gradient of log p(x | theta) in theta, with shape (N, 2).

        Arguments:
            x: Events, with shape (N, 40).
            theta: Parameters, with shape (N, 2); one row serves all events.
        """
        return component_score(self.components(x), theta, self.rates)

    def cross_section(self, theta: Array) -> Array:
        """Cross-section after the cuts in pb: (N, 2) -> (N,)."""
        return np.asarray(monomials(np.asarray(theta, dtype=float)) @ self.rates)

    def morph(self, events: Events, theta: Sequence[float] | Array) -> Morphed:
        """Carry a sample to another theta; see :func:`lfi_mflow.simulation.morph`.

        Raises:
            InputError: If theta, with shape (2,), is beyond the bounds.
            DataError: If too few events are left, or they hold no components.
        """
        _require(len(theta) == len(self.parameters), "two parameters", theta)
        for parameter, value in zip(self.parameters, theta, strict=True):
            expected = f"{parameter.name} in [{parameter.low:g}, {parameter.high:g}]"
            _require(parameter.low <= value <= parameter.high, expected, value)
        return morph(events, np.asarray(theta, dtype=float), self.rates)

    def distance(self, x: Array) -> Array:
        """Kinematic closure, in standard deviations of the Standard Model: (N, 40) -> (N,)."""
        return self.kinematic_closure(x)

    def kinematic_closure(self, x: Array) -> Array:
        """Mean of 26 normalised residuals, one for noise: (N, 40) -> (N,); see :mod:`closure`."""
        return kinematic_closure(x, self._pilot().mean, self._pilot().sd)

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise of 0.1 standard deviations of each observable, the shape kept."""
        return np.asarray(x + _NOISE * self._pilot().sd * rng.standard_normal(np.shape(x)))

    def _pilot(self) -> Pilot:
        """Return the pilot sample."""
        return pilot(self._densities, self._cuts)

    def _draw(self, theta: Array, rng: np.random.Generator) -> Events:
        """Draw one block of events, one per row of theta."""
        values = monomials(theta) * self._scales
        setup = self._densities, self._cuts
        if self._sampling == "weighted":
            proposals = draw_proposals(len(theta), *setup, rng)
        else:
            proposals = draw_unweighted(values, *setup, rng)
        return self._complete(theta, proposals, rng)

    def _complete(self, theta: Array, proposals: Proposals, rng: np.random.Generator) -> Events:
        """Draw the assignment of each event and evaluate what is known of it."""
        parts = proposals.parts * (self._scales[:, None] * self._pilot().efficiency)
        values, sigma = monomials(theta).T, self.cross_section(theta)
        chances = np.sum(parts * values, axis=1)
        weight = chances.sum(axis=0) / sigma
        swapped = rng.random(len(theta)) * chances.sum(axis=0) > chances[0]
        joint = np.where(swapped, parts[1], parts[0]).T
        weighted = self._sampling == "weighted"
        components = parts.sum(axis=0) if weighted else parts.sum(axis=0) / weight
        reference = np.array([self.joint_reference])
        return Events(
            theta=theta,
            x=np.ascontiguousarray(features(proposals.p).T),
            weight=weight if weighted else None,
            log_ratio=component_log_ratio(joint, theta, reference, self.rates),
            score=component_score(joint, theta, self.rates),
            latent=np.ascontiguousarray(proposals.z.T),
            components=np.ascontiguousarray(components.T),
        )


def _require(kept: bool, expected: str, found: object) -> None:
    """Raise InputError unless a setting is in range."""
    if not kept:
        raise InputError(f"{expected} for the Higgs simulator", str(found), "correct it")
