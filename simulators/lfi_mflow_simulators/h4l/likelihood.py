r"""The exact likelihood: density of the coordinates of an event, and per volume of its features.

    log p(x | theta) = log p(z | theta) - log |d momenta / dz| - 1/2 log det(J^T J)

with the twelve coordinates z and the derivatives J of the features x by the momenta. A Higgs boson
of fixed mass leaves eleven dimensions: the volume of the surface of constant mH is that of all
twelve per unit of mH, times the length of the gradient of mH within the surface of all events,

    (grad mH^T (J^T J)^(-1) grad mH)^(1/2).

References:
    H. Federer, Geometric Measure Theory, 1969, section 3.2 (area and coarea formulas).
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.h4l.amplitude import Decay, angular_form
from lfi_mflow_simulators.h4l.couplings import components, expand, log_gradient
from lfi_mflow_simulators.h4l.features import FeatureMap
from lfi_mflow_simulators.h4l.kinematics import higgs_mass_gradient, log_jacobian
from lfi_mflow_simulators.h4l.masses import MassSpectrum, mass_factor
from lfi_mflow_simulators.h4l.production import log_production

__all__ = ["DecayLikelihood", "decay_components", "log_volume"]


def decay_components(decay: Decay) -> Array:
    """Return the coefficients of the couplings in the density of decays, with shape (N, 6)."""
    return components(angular_form(decay))


class DecayLikelihood:
    """The densities of decays, normalised by the rate.

    Arguments:
        spectrum: The law of the masses.
    """

    def __init__(self, spectrum: MassSpectrum) -> None:
        self._spectrum = spectrum

    def log_ratio(self, decay: Array, theta: Array, reference: Array) -> Array:
        """Return log p(z | theta) - log p(z | reference), with shape (N,).

        Arguments:
            decay: Components of the decays, with shape (N, 6).
            theta: Couplings, with shape (N, 3) or (1, 3).
            reference: Couplings of the denominator, with shape (N, 3) or (1, 3).
        """
        return self._log_shape(decay, theta) - self._log_shape(decay, reference)

    def score(self, decay: Array, theta: Array) -> Array:
        """Return the gradient of log p(z | theta) in the couplings, with shape (N, 3).

        Arguments:
            decay: Components of the decays, with shape (N, 6).
            theta: Couplings, with shape (N, 3) or (1, 3).
        """
        return log_gradient(decay, theta) - log_gradient(self._spectrum.rate[None], theta)

    def log_density(self, z: Array, theta: Array) -> Array:
        """Return log p(z | theta) per unit of the coordinates, with shape (N,).

        The mass mH is one of them, unless its width is 0.

        Arguments:
            z: Coordinates, with shape (12, N).
            theta: Couplings, with shape (N, 3) or (1, 3).
        """
        decay = Decay(z[11], *z[6:11])
        shape = self._log_shape(decay_components(decay), theta)
        with np.errstate(divide="ignore"):
            masses = np.log(mass_factor(decay.m_h, decay.m1, decay.m2))
        higgs = self._spectrum.log_higgs_mass(decay.m_h) if self._spectrum.width > 0.0 else 0.0
        return np.asarray(shape + masses + higgs + log_production(z[0], z[1]))

    def _log_shape(self, decay: Array, theta: Array) -> Array:
        """Return the logarithm of the quadratic form of decays over that of the rate."""
        monomials = expand(theta)
        with np.errstate(divide="ignore"):
            log_form = np.log((decay * monomials).sum(axis=1))
        return np.asarray(log_form - np.log(monomials @ self._spectrum.rate))


def log_volume(features: FeatureMap, z: Array, momenta: Array, *, fixed_mass: bool) -> Array:
    """Return the log-volume of features per unit of the coordinates, with shape (N,).

    Arguments:
        features: The map to features.
        z: Coordinates, with shape (12, N).
        momenta: Momenta of the leptons, with shape (4, 3, N).
        fixed_mass: Whether the coordinates vary without the last, mH.
    """
    jacobian = features.jacobian(momenta)
    factor = np.linalg.cholesky(np.einsum("nda,ndb->nab", jacobian, jacobian))
    log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    volume = log_jacobian(z, momenta) + log_det
    if not fixed_mass:
        return np.asarray(volume)
    gradient = higgs_mass_gradient(momenta).reshape(12, -1).T
    white = np.linalg.solve(factor, gradient[:, :, None])[:, :, 0]
    return np.asarray(volume + 0.5 * np.log((white**2).sum(axis=1)))
