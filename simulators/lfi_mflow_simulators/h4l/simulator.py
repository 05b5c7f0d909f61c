"""The simulator of H -> Z Z* -> 4 leptons, put together from its physics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import Array, Events, Parameter
from lfi_mflow_simulators.h4l.amplitude import Decay
from lfi_mflow_simulators.h4l.couplings import expand
from lfi_mflow_simulators.h4l.features import FeatureMap, h4l_objects
from lfi_mflow_simulators.h4l.kinematics import coordinates, lepton_momenta
from lfi_mflow_simulators.h4l.likelihood import DecayLikelihood, decay_components, log_volume
from lfi_mflow_simulators.h4l.masses import HIGGS_MASS, MassSpectrum
from lfi_mflow_simulators.h4l.production import draw_production
from lfi_mflow_simulators.h4l.sampler import DecaySampler

__all__ = ["H4l"]

# Events worked on at a time: the arrays of a block stay in the cache. Part of what a seed means.
_BLOCK = 16384
# The same, where each event has a matrix of 40 x 12 derivatives.
_SMALL_BLOCK = 2048
_LARGEST_WIDTH = 2.0
# pb: 48.6 pb of gluon fusion at 13 TeV times the branching ratio 5.93e-5 to 2e2mu, D. de Florian
# et al. (LHC Higgs Cross Section Working Group), 2016, arXiv:1610.07922.
_SM_RATE = 2.88e-3
_SM = (1.0, 0.0, 0.0)


class H4l:
    """Simulator of Higgs bosons that decay to 2e2mu, with its exact likelihood.

    Arguments:
        width: Width of the Higgs boson in GeV, at most 2. The default is about what a detector
            makes of it; the 0.0041 of the standard model would leave the events a twelfth dimension
            10^-4 times as wide as the others. With 0 all Higgs bosons have 125 GeV, the manifold
            has 11 dimensions, and a longitudinal momentum stands in place of the mass.
        components: Whether events carry their component weights.

    Attributes:
        observables: 40 features of the four leptons, the two Z and the Higgs boson.
        manifold_dim: 12, or 11 for width 0.
        joint_reference: Couplings of the denominator of the log-ratios that events carry.
        rates: Components of the cross-section in pb, those of 1, a_i and a_i a_j with i <= j, with
            shape (10,); the first four are zero.

    Raises:
        InputError: If the width is out of range.
    """

    name = "h4l"
    parameters = (
        Parameter("a1", 0.5, 1.5, latex="a_1"),
        Parameter("a2", -1.0, 1.0, latex="a_2"),
        Parameter("a3", -2.0, 2.0, latex="a_3"),
    )
    joint_reference: tuple[float, ...] = _SM

    def __init__(self, width: float = 1.0, *, components: bool = True) -> None:
        if not 0.0 <= width <= _LARGEST_WIDTH:
            raise InputError(
                f"a width from 0 to {_LARGEST_WIDTH:g} GeV", f"{width}", "choose one in between"
            )
        self._narrow = width == 0.0
        self._with_components = components
        spectrum = MassSpectrum(float(width))
        self._likelihood = DecayLikelihood(spectrum)
        self._sampler = DecaySampler(spectrum)
        self._features = FeatureMap(h4l_objects(("E", "pt", "eta", "pz" if self._narrow else "m")))
        self.observables = self._features.observables
        self.manifold_dim: int | None = 11 if self._narrow else 12
        unit = spectrum.rate[0]
        self.rates = np.concatenate([np.zeros(4), spectrum.rate * (_SM_RATE / unit)])

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 3).

        The events have weight one. They carry their own log-ratio and score (nothing is hidden) and
        component weights in pb, whose mean over events estimates the components of the rate.

        Raises:
            InputError: If a row of theta is not finite or has no rate.
        """
        theta = np.asarray(theta, dtype=float)
        if not (np.isfinite(theta).all() and np.all(self.cross_section(theta) > 0.0)):
            raise InputError(
                "finite couplings (a1, a2, a3) with a rate",
                "zeros or numbers that are not finite in theta",
                "correct its rows",
            )
        blocks = (self._simulate_block(theta[rows], rng) for rows in _blocks(len(theta), _BLOCK))
        return Events.concatenate(list(blocks))

    def log_ratio(self, x: Array, theta: Array, reference: Array) -> Array:
        """Exact log p(x | theta) - log p(x | reference), with shape (N,).

        Events off the manifold count as the event with the same momenta of the leptons.

        Arguments:
            x: Events, with shape (N, 40).
            theta: Couplings, with shape (N, 3); one row serves all events.
            reference: Couplings of the denominator, with shape (N, 3) or (1, 3).
        """
        theta, reference = np.asarray(theta, dtype=float), np.asarray(reference, dtype=float)
        return self._likelihood.log_ratio(self._components(x), theta, reference)

    def score(self, x: Array, theta: Array) -> Array:
        """Exact gradient of log p(x | theta) in the couplings: (N, 40), (N, 3) -> (N, 3)."""
        return self._likelihood.score(self._components(x), np.asarray(theta, dtype=float))

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Exact log-density per volume of the manifold, with shape (N,).

        The volume is measured in the units of the features, GeV and 1. Events off the manifold
        count as the event with the same momenta of the leptons.

        Arguments:
            x: Events, with shape (N, 40).
            theta: Couplings, with shape (N, 3); one row serves all events.
        """
        x, theta = np.asarray(x, dtype=float), np.asarray(theta, dtype=float)
        log_prob = np.empty(len(x))
        for rows in _blocks(len(x), _SMALL_BLOCK):
            momenta = self._features.momenta(x[rows])
            z = coordinates(momenta)
            density = self._likelihood.log_density(z, theta if len(theta) == 1 else theta[rows])
            log_prob[rows] = density - log_volume(
                self._features, z, momenta, fixed_mass=self._narrow
            )
        return log_prob

    def cross_section(self, theta: Array) -> Array:
        """Return the cross-section in pb, 2.88 fb for the standard model: (N, 3) -> (N,)."""
        return np.asarray(expand(np.asarray(theta, dtype=float)) @ self.rates[-6:])

    def residuals(self, x: Array) -> Array:
        """Return what each feature misses its value by: (N, 40) -> (N, 40), or (N, 41).

        The value is that of the event with the same momenta of the leptons: the twelve features
        that are these momenta miss nothing. For Higgs bosons of fixed mass the last column is the
        mass of the four leptons minus 125 GeV.
        """
        residuals = self._features.residuals(x)
        if not self._narrow:
            return residuals
        mass = coordinates(self._features.momenta(x))[-1]
        return np.column_stack([residuals, mass - HIGGS_MASS])

    def distance(self, x: Array) -> Array:
        """Length of the residuals of events, in the units of the features: (N, 40) -> (N,).

        This is the distance to the event with the same momenta of the leptons, not to the nearest
        one of the manifold.
        """
        return np.asarray(np.linalg.norm(self.residuals(x), axis=1))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise to every feature, of 5 GeV or, to eta, of 0.1: (N, 40) -> (N, 40)."""
        return self._features.perturb(x, rng)

    def _simulate_block(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate a block of events."""
        decay = self._sampler.draw(theta, rng)
        production = draw_production(len(theta), rng)
        momenta = lepton_momenta(np.stack([*production, *decay[1:], decay.m_h]))
        own = decay_components(decay)
        return Events(
            theta=theta,
            x=self._features.evaluate(momenta),
            log_ratio=self._likelihood.log_ratio(own, theta, np.array([_SM])),
            score=self._likelihood.score(own, theta),
            components=self._weigh(own, theta) if self._with_components else None,
        )

    def _weigh(self, own: Array, theta: Array) -> Array:
        """Return components of the cross-section over the density that events came from."""
        weights = np.zeros((len(own), len(self.rates)))
        scale = self.cross_section(theta) / (own * expand(theta)).sum(axis=1)
        weights[:, -6:] = own * scale[:, None]
        return weights

    def _components(self, x: Array) -> Array:
        """Return the components of the decays of events: (N, 40) -> (N, 6)."""
        z = coordinates(self._features.momenta(x))
        return decay_components(Decay(z[11], *z[6:11]))


def _blocks(n: int, size: int) -> Iterator[slice]:
    """Cut n rows into blocks; no rows are one block."""
    return (slice(start, min(start + size, n)) for start in range(0, max(n, 1), size))
