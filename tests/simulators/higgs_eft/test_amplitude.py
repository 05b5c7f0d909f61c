"""The closed forms against spinors and tensors that are written out."""

import itertools
import math

import numpy as np
import pytest

from lfi_mflow_simulators.higgs_eft.amplitude import (
    COUPLING,
    ENERGY,
    M_HIGGS,
    M_W,
    HardEvent,
    differential_cross_section,
    light_cone,
    wilson_amplitudes,
)
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES, luminosity

METRIC = np.diag([1.0, -1.0, -1.0, -1.0])
# sigma-bar = (1, -sigma).
SIGMA = np.array(
    [[[1, 0], [0, 1]], [[0, -1], [-1, 0]], [[0, 1j], [-1j, 0]], [[-1, 0], [0, 1]]], dtype=complex
)
LEVI_CIVITA = np.zeros((4, 4, 4, 4))
for permutation in itertools.permutations(range(4)):
    LEVI_CIVITA[permutation] = np.linalg.det(np.eye(4)[list(permutation)])


def massless(pt, y, phi):
    return np.array([pt * np.cosh(y), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y)])


def spinor(p):
    """The left-handed spinor of a massless momentum, up to a phase."""
    values, vectors = np.linalg.eigh(np.einsum("i,iab->ab", p[1:], -SIGMA[1:]))
    return math.sqrt(2.0 * p[0]) * vectors[:, np.argmin(values)]


def dot(a, b):
    return a @ METRIC @ b


def diagram(event, row):
    """Momenta q1, q2 and quark currents J1, J2 of one event, jet 1 from the parton along +z."""
    plus, minus = (w[row] for w in light_cone(event))
    incoming = 0.5 * plus * np.array([1, 0, 0, 1.0]), 0.5 * minus * np.array([1, 0, 0, -1.0])
    jets = (
        massless(event.pt1[row], event.y1[row], event.delta[row]),
        massless(event.pt2[row], event.y2[row], 0.0),
    )
    momenta = [a - b for a, b in zip(incoming, jets, strict=True)]
    currents = [
        np.einsum("a,iab,b->i", spinor(out).conj(), SIGMA, spinor(into))
        for into, out in zip(incoming, jets, strict=True)
    ]
    return *momenta, *currents, jets


def test_the_higgs_boson_is_on_its_mass_shell_and_recoils(hard_events):
    for row in range(50):
        q1, q2, _, _, _ = diagram(hard_events, row)
        higgs = q1 + q2
        assert dot(higgs, higgs) == pytest.approx(M_HIGGS**2, rel=1e-9)
        rapidity = 0.5 * math.log((higgs[0] + higgs[3]) / (higgs[0] - higgs[3]))
        assert rapidity == pytest.approx(hard_events.y_h[row], abs=1e-9)


def test_amplitudes_are_those_of_the_operators(hard_events):
    """A1 from W_{mu nu} W^mu d^nu H, A2 from the dual tensor, both over the SM vertex."""
    a1, a2 = wilson_amplitudes(hard_events, *light_cone(hard_events))
    ratios = []
    for row in range(100):
        q1, q2, j1, j2, _ = diagram(hard_events, row)
        standard = dot(j1, j2)
        vertex = M_HIGGS**2 * standard - 2.0 * dot(j1, q2) * dot(j2, q1)
        dual = np.einsum("ijkl,i,j,k,l->", LEVI_CIVITA, *(METRIC @ v for v in (q1, q2, j1, j2)))
        assert a1[row] == pytest.approx(-0.5 * COUPLING * vertex / standard, rel=1e-8)
        ratios.append(a2[row] / (COUPLING * dual / standard))
    # The sign of the tensor is a convention; it must be the same for all events.
    np.testing.assert_allclose(np.array(ratios) / np.sign(ratios[0].real), 1.0, rtol=1e-7)


def test_cross_section_is_that_of_the_diagram(hard_events):
    """The squared diagram, the flux and the phase space, in natural units and pb."""
    densities = DENSITIES["les-houches"]
    components = differential_cross_section(hard_events, densities)
    g = math.sqrt(8.0 * M_W**2 * 1.16637e-5 / math.sqrt(2.0))
    plus, minus = light_cone(hard_events)
    reached = np.flatnonzero(np.maximum(plus, minus) < ENERGY)
    assert len(reached) > 200
    for row in reached[:60]:
        q1, q2, j1, j2, _ = diagram(hard_events, row)
        propagators = (dot(q1, q1) - M_W**2) * (dot(q2, q2) - M_W**2)
        amplitude = 0.5 * g**2 * g * M_W * dot(j1, j2) / propagators
        s_hat = plus[row] * minus[row]
        flux = 1.0 / (2.0 * s_hat)
        phase_space = (2.0 * np.pi) ** 4 * 2.0 / s_hat / (2.0 * (2.0 * np.pi) ** 3) ** 3
        parton = luminosity(densities, plus[[row]] / ENERGY, minus[[row]] / ENERGY)[0]
        expected = parton * abs(amplitude) ** 2 / 4.0 * flux * phase_space * 0.3894e9
        assert components[0, 0, row] == pytest.approx(expected, rel=1e-8)


def test_components_are_those_of_the_square(hard_events):
    components = differential_cross_section(hard_events, DENSITIES["lhc"])
    plus, minus = light_cone(hard_events)
    for part, event in zip(components, (hard_events, hard_events.swapped()), strict=True):
        a1, a2 = wilson_amplitudes(event, plus, minus)
        for t1, t2 in ((0.7, -1.3), (-20.0, 4.0)):
            square = part[0] * np.abs(1.0 + t1 * a1 + t2 * a2) ** 2
            monomials = np.array([1.0, t1, t2, t1 * t1, t1 * t2, t2 * t2])
            np.testing.assert_allclose(monomials @ part, square, rtol=1e-9, atol=1e-30)


def test_a_reflection_in_azimuth_changes_the_sign_of_what_is_odd_under_cp(hard_events):
    h = hard_events
    mirrored = HardEvent(h.pt1, h.pt2, h.y1, h.y2, h.y_h, -h.delta)
    components = differential_cross_section(h, DENSITIES["les-houches"])
    signs = np.array([1.0, 1.0, -1.0, 1.0, -1.0, 1.0])[:, None]
    other = differential_cross_section(mirrored, DENSITIES["les-houches"]) * signs
    np.testing.assert_allclose(other, components, rtol=1e-9, atol=1e-12 * components.max())


def test_swapping_exchanges_the_assignments(hard_events):
    components = differential_cross_section(hard_events, DENSITIES["lhc"])
    swapped = differential_cross_section(hard_events.swapped(), DENSITIES["lhc"])
    np.testing.assert_allclose(swapped[::-1], components, rtol=1e-12)


def test_nothing_beyond_the_energy():
    event = HardEvent(*(np.array([v]) for v in (900.0, 900.0, 3.0, 1.0, 2.0, 1.0)))
    assert not differential_cross_section(event, DENSITIES["lhc"]).any()
