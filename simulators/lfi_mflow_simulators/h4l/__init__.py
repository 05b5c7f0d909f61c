"""H -> Z Z* -> 2e2mu with three couplings: an exact likelihood in twelve dimensions.

A scalar particle couples to two Z bosons by a1 (as in the standard model, where it is 1), a2 (as
from loops of heavy particles) and a3 (which violates CP)::

    A = a1 mZ^2 e1.e2 + a2 f1_{mu nu} f2^{mu nu} + a3 f1_{mu nu} f2~^{mu nu}

An event is the four leptons, with redundant features: 40 numbers on a manifold of 12 dimensions
(11 where the Higgs boson has a fixed mass). Z1 is the heavier pair, whichever flavour it has: the
flavours say nothing about the couplings. There are no cuts and no detector.

The shape of the distribution depends on the ratios of the couplings only: p(x | c theta) =
p(x | theta). Events alone leave the overall scale open, the rate (``cross_section``) fixes it. In
the bounds of the parameters the rate varies from 0.1 to 5 times that of the standard model.

One file per piece of physics: ``amplitude`` (helicity amplitudes, angles), ``masses`` (phase space,
propagators, rate), ``production`` (the Higgs boson itself), ``couplings`` (quadratic forms),
``sampler`` (unweighted events), ``kinematics`` (coordinates and momenta), ``features``,
``likelihood`` and ``simulator``.
"""

from lfi_mflow_simulators.h4l.simulator import H4l

__all__ = ["H4l"]
