r"""The simulator behind a detector: smeared events, whose likelihood nobody knows.

Smearing in *latents* changes the measured jets and photons and keeps all relations
between the observables: the transverse momentum of jets by a factor, their azimuth
by an angle, the energy of photons by a factor. Smearing in *features* adds noise to
each observable of its own, which thickens the manifold to 40 dimensions.

The joint ratio and score are those of the event before the detector; they are still
exact as joint ones. The ratio and score of the smeared event are integrals over
what the detector hides, so that this simulator does not offer them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import Array, Events
from lfi_mflow_simulators.higgs_eft.features import OBSERVABLES, features, read_objects
from lfi_mflow_simulators.higgs_eft.kinematics import order_pairs
from lfi_mflow_simulators.higgs_eft.simulator import HiggsEFT

__all__ = ["SMEARINGS", "SmearedHiggsEFT", "Smearing"]


@dataclasses.dataclass(frozen=True)
class Smearing:
    """A kind of smearing.

    Arguments:
        smear: Smears events (N, 40) with widths.
        widths: Default widths.
        manifold_dim: Dimension of the manifold of smeared events, None without one.
    """

    smear: Callable[[Array, Sequence[float], np.random.Generator], Array]
    widths: tuple[float, ...]
    manifold_dim: int | None


class SmearedHiggsEFT:
    """Simulator of smeared events: :class:`HiggsEFT` and a detector.

    Cuts and cross-section are those before the detector; the weights, the latents,
    the components, the joint ratio and the score of the events as well. Objects are
    ordered by their measured transverse momentum.

    Arguments:
        smear: ``latents`` or ``features``.
        widths: Standard deviations: for latents, of ln pT of jets, of their azimuth
            in rad and of ln E of photons, (0.1, 0.01, 0.015) by default; for features,
            of energies, momenta and masses in GeV and of eta, (1, 0.01).
        theta_scale: As of :class:`HiggsEFT`, and so are the other arguments.
        parton_density: ``les-houches`` or ``lhc``.
        cuts: ``analysis`` or ``jets``.
        sampling: ``weighted`` or ``unweighted``.
        bound: Largest |theta_i| accepted.

    Raises:
        UnknownNameError: If there is nothing of that name.
        InputError: If a number is out of range.
    """

    name = "higgs-eft-smeared"
    observables = OBSERVABLES

    def __init__(
        self,
        smear: str = "latents",
        widths: Sequence[float] | None = None,
        theta_scale: float = 1.0,
        parton_density: str = "les-houches",
        cuts: str = "analysis",
        sampling: str = "weighted",
        bound: float | str = 1.0,
    ) -> None:
        if smear not in SMEARINGS:
            raise UnknownNameError("kind of smearing", str(smear), SMEARINGS)
        self._smearing = SMEARINGS[smear]
        self._widths = self._smearing.widths if widths is None else tuple(widths)
        expected = len(self._smearing.widths)
        if len(self._widths) != expected or not all(0.0 <= w < math.inf for w in self._widths):
            raise InputError(
                f"{expected} finite widths of at least 0", str(widths), "correct the setting"
            )
        self._exact = HiggsEFT(theta_scale, parton_density, cuts, sampling, bound)
        self.parameters = self._exact.parameters
        self.joint_reference = self._exact.joint_reference
        self.manifold_dim = self._smearing.manifold_dim

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 2)."""
        events = self._exact.simulate(theta, rng)
        return dataclasses.replace(
            events, x=self._smearing.smear(events.x.astype(float), self._widths, rng)
        )

    def cross_section(self, theta: Array) -> Array:
        """Cross-section after the cuts in pb: (N, 2) -> (N,)."""
        return self._exact.cross_section(theta)


def _smear_latents(x: Array, widths: Sequence[float], rng: np.random.Generator) -> Array:
    """Smear jets and photons, and form the observables anew: (N, 40) -> (N, 40)."""
    p = read_objects(x)
    noise = rng.standard_normal((3, 2, len(x)))
    # All of a photon's vector goes with its energy. A jet's pT changes at fixed
    # rapidity and m/pT, which is the same for its vector.
    p[:2] *= np.exp(widths[2] * noise[2])[:, None]
    p[2:] *= np.exp(widths[0] * noise[0])[:, None]
    cosine, sine = np.cos(widths[1] * noise[1]), np.sin(widths[1] * noise[1])
    px, py = p[2:, 1].copy(), p[2:, 2].copy()
    p[2:, 1], p[2:, 2] = cosine * px - sine * py, sine * px + cosine * py
    order_pairs(p)
    return np.ascontiguousarray(features(p).T)


def _smear_features(x: Array, widths: Sequence[float], rng: np.random.Generator) -> Array:
    """Add noise to each observable: (N, 40) -> (N, 40)."""
    sd = [widths[0] if observable.unit == "GeV" else widths[1] for observable in OBSERVABLES]
    return np.asarray(x + sd * rng.standard_normal(x.shape))


SMEARINGS = {
    "latents": Smearing(_smear_latents, (0.1, 0.01, 0.015), 14),
    "features": Smearing(_smear_features, (1.0, 0.01), None),
}
"""The kinds of smearing."""
