r"""Pythia 8 behind the contract: q q -> q q H by fusion of W or Z bosons, H -> Z Z* -> 4 leptons.

A real event generator, whose likelihood nobody knows, and an example of how to wrap one. The
parameter is Pythia's ``HiggsH1:etaParity``, the strength of a CP-odd coupling of the Higgs boson to
two Z bosons: 2 a3 / a1 in the words of :mod:`lfi_mflow_simulators.h4l`. Pythia changes the angles
of the decay by it, not the rate and not the masses of the Z bosons. Two things are as they are for
a reason: Pythia heeds the parity of the Higgs boson only with ``Higgs:useBSM``, so that the process
is that of its H1 with the couplings of the standard model; and with the mixing angle
``HiggsH1:phiParity`` (parity 4) it lets Z bosons decay isotropically.

Events are those of the hard process: four leptons and two tagging partons, without showers and
without masses, from a Higgs boson of 125 GeV. Six massless momenta with two conservation laws, of
transverse momentum, and one fixed mass: 18 - 3 = 15 dimensions.

References:
    C. Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3, SciPost
    Physics Codebases 8 (2022), arXiv:2203.11601.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from lfi_mflow.errors import InputError, LfiMflowError
from lfi_mflow.simulation import Array, Events, Parameter
from lfi_mflow_simulators.h4l.features import (
    LIGHT,
    FeatureMap,
    PhysicsObject,
    four_momentum,
    h4l_objects,
)

__all__ = ["PythiaVBFH4l"]

_HIGGS, _Z = 25, 23
_HIGGS_MASS = 125.0
# Pythia's status of outgoing particles of the hard process.
_OUTGOING = 23
_TRIALS = 100
# The largest seed of Pythia is 900,000,000.
_SEEDS = 900_000_000
# Masses that Pythia takes, but that leave no trace in the momenta.
_MASSLESS = tuple(f"{particle}:m0 = 1e-8" for particle in (1, 2, 3, 4, 5, 11, 13))
_SETTINGS = (
    "Print:quiet = on",
    "Random:setSeed = on",
    "PartonLevel:all = off",
    "Higgs:useBSM = on",
    "HiggsBSM:ff2H1ff(t:WW) = on",
    "HiggsBSM:ff2H1ff(t:ZZ) = on",
    "HiggsH1:parity = 3",
    f"25:m0 = {_HIGGS_MASS}",
    "25:doForceWidth = on",
    "25:mWidth = 0",
    "25:onMode = off",
    "25:onIfMatch = 23 23",
    "23:onMode = off",
    "23:onIfAny = 11 13",
    *_MASSLESS,
)


class PythiaVBFH4l:
    """Simulator of Higgs bosons from vector-boson fusion that decay to four leptons.

    Pythia is initialised for every distinct theta of a call, which takes 0.15 s, as long as some
    1,200 events; rows of equal theta share that. A prior that draws a new theta for every event is
    slow, therefore: draw fewer theta, and repeat each in many rows.

    Electrons and muons occur in all pairs. Z1 is the heavier boson of Pythia's record, also where
    all four leptons are of one flavour.

    Arguments:
        energy: Centre-of-mass energy of the two protons, GeV.

    Attributes:
        observables: 48 features of the four leptons, the two Z and the partons, j1 with more pT.

    Raises:
        InputError: If the energy is below 1 TeV.
    """

    name = "pythia-vbf-h4l"
    parameters = (Parameter("eta_cp", -4.0, 4.0, latex=r"\eta_{CP}"),)
    manifold_dim: int | None = 15

    def __init__(self, energy: float = 13_000.0) -> None:
        if not 1000.0 <= energy < np.inf:
            raise InputError("an energy of at least 1000 GeV", f"{energy}", "give a larger one")
        self._energy = float(energy)
        jets = (PhysicsObject(f"j{i}", f"j_{i}", (3 + i,), LIGHT) for i in (1, 2))
        self._features = FeatureMap([*h4l_objects(()), *jets])
        self.observables = self._features.observables
        self._pythia: Any = None

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 1).

        Raises:
            InputError: If Pythia is not installed or does not find its data.
            LfiMflowError: If Pythia fails.
        """
        theta = np.asarray(theta, dtype=float)
        if self._pythia is None:
            self._pythia = _load_pythia(self._energy)
        points, group = np.unique(theta[:, 0], return_inverse=True)
        momenta = np.empty((6, 3, len(theta)))
        for index, (point, seed) in enumerate(
            zip(points, rng.integers(1, _SEEDS, len(points)), strict=True)
        ):
            rows = np.flatnonzero(group == index)
            momenta[:, :, rows] = _generate(self._pythia, float(point), int(seed), len(rows))
        return Events(theta=theta, x=self._features.evaluate(momenta))

    def residuals(self, x: Array) -> Array:
        """Return what features and conservation laws miss: (N, 48) -> (N, 51).

        The last columns are the two components of the sum of transverse momenta, and the mass of
        the four leptons minus 125 GeV.
        """
        momenta = self._features.momenta(x)
        energy, px, py, pz = four_momentum(momenta, (0, 1, 2, 3))
        mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
        balance = momenta.sum(axis=0)[:2].T
        return np.column_stack([self._features.residuals(x), balance, mass - _HIGGS_MASS])

    def distance(self, x: Array) -> Array:
        """Length of the residuals of events, in the units of the features: (N, 48) -> (N,)."""
        return np.asarray(np.linalg.norm(self.residuals(x), axis=1))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise to every feature, of 5 GeV or, to eta, of 0.1: (N, 48) -> (N, 48)."""
        return self._features.perturb(x, rng)


def _load_pythia(energy: float) -> Any:
    """Build a Pythia with all settings but theta and the seed."""
    try:
        module = importlib.import_module("pythia8mc")
    except ImportError as error:
        raise InputError(
            "the Python package pythia8mc for this simulator",
            f"none ({' '.join(str(error).split())})",
            "pip install 'lfi-mflow[pythia]'",
        ) from error
    pythia = module.Pythia("", False)
    for setting in (*_SETTINGS, f"Beams:eCM = {energy!r}"):
        _set(pythia, setting)
    return pythia


def _set(pythia: Any, setting: str) -> None:
    """Change a setting of Pythia."""
    if not pythia.readString(setting):
        raise InputError(
            f"a Pythia that knows {setting!r}",
            "one that does not, or does not find its data",
            "pip install --force-reinstall 'lfi-mflow[pythia]', or set PYTHIA8DATA",
        )


def _generate(pythia: Any, eta_cp: float, seed: int, n: int) -> Array:
    """Generate n events at one theta: momenta of leptons and partons, with shape (6, 3, n)."""
    _set(pythia, f"HiggsH1:etaParity = {eta_cp!r}")
    _set(pythia, f"Random:seed = {seed}")
    if not pythia.init():
        raise LfiMflowError(f"Pythia did not initialise at eta_cp = {eta_cp:g}")
    return np.array(list(_momenta(pythia, n))).reshape(n, 6, 3).transpose(1, 2, 0)


def _momenta(pythia: Any, n: int) -> Iterator[list[tuple[float, float, float]]]:
    """Yield the momenta of the six particles of n events."""
    for _ in range(n):
        if not any(pythia.next() for _ in range(_TRIALS)):
            raise LfiMflowError(f"Pythia made no event in {_TRIALS} trials")
        yield [(p.px(), p.py(), p.pz()) for p in _particles(pythia.process)]


def _particles(record: Any) -> list[Any]:
    """Return l1-, l1+, l2-, l2+, j1 and j2 of a record of the hard process."""
    entries = [record[index] for index in range(1, record.size())]
    jets = [p for p in entries if p.isQuark() and p.status() == _OUTGOING]
    bosons = [p for p in entries if p.id() == _Z and record[p.mother1()].id() == _HIGGS]
    bosons.sort(key=lambda z: -z.m())
    jets.sort(key=lambda jet: -jet.pT())
    # The negative leptons have the positive numbers.
    leptons = (
        sorted((record[z.daughter1()], record[z.daughter2()]), key=lambda p: -p.id())
        for z in bosons
    )
    return [*(lepton for pair in leptons for lepton in pair), *jets]
