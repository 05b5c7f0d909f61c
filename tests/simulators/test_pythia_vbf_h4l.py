"""What needs Pythia is skipped where the extra [pythia] is not installed."""

import sys

import numpy as np
import pytest

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import check_simulator
from lfi_mflow_simulators.h4l.amplitude import Decay, angular_form, helicity_form
from lfi_mflow_simulators.h4l.kinematics import coordinates
from lfi_mflow_simulators.pythia_vbf_h4l import PythiaVBFH4l

LEPTONS = ("l1m", "l1p", "l2m", "l2p")


@pytest.fixture(scope="module")
def simulator():
    pytest.importorskip("pythia8mc", reason="needs Pythia: pip install 'lfi-mflow[pythia]'")
    return PythiaVBFH4l()


@pytest.fixture(scope="module")
def events(simulator):
    return simulator.simulate(np.zeros((500, 1)), np.random.default_rng(0))


def columns(simulator, events):
    return dict(zip([item.name for item in simulator.observables], events.x.T, strict=True))


def decays(simulator, eta_cp, n):
    """The decay variables of n events for each value, with shape (values, n) each."""
    theta = np.tile(np.array(eta_cp)[:, None], (n, 1))
    events = simulator.simulate(theta, np.random.default_rng(1))
    names = [item.name for item in simulator.observables]
    leptons = [[names.index(f"{p}_{name}") for p in ("px", "py", "pz")] for name in LEPTONS]
    z = coordinates(events.x[:, leptons].transpose(1, 2, 0))
    return [Decay(z[11, i :: len(eta_cp)], *z[6:11, i :: len(eta_cp)]) for i in range(len(eta_cp))]


def test_description_needs_no_pythia(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    simulator = PythiaVBFH4l()
    assert len(simulator.observables) == 48
    assert simulator.manifold_dim == 15
    assert simulator.observables[-1].name == "eta_j2"


def test_error_where_pythia_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(InputError, match=r"pythia8mc.*found none.*lfi-mflow\[pythia\]") as caught:
        PythiaVBFH4l().simulate(np.zeros((1, 1)), np.random.default_rng(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("energy", [0.0, float("nan"), float("inf")])
def test_no_such_energy(energy):
    with pytest.raises(InputError, match="at least 1000 GeV"):
        PythiaVBFH4l(energy)


def test_error_where_pythia_refuses_a_setting(monkeypatch):
    class Refusing:
        def __init__(self, *_):
            pass

        def readString(self, _):
            return False

    class Module:
        Pythia = Refusing

    monkeypatch.setitem(sys.modules, "pythia8mc", Module)
    with pytest.raises(InputError, match="set PYTHIA8DATA"):
        PythiaVBFH4l().simulate(np.zeros((1, 1)), np.random.default_rng(0))


def test_conforms(simulator):
    # Few events: each theta initialises Pythia anew.
    assert len(check_simulator(simulator, n=2)) == 8


def test_conservation_laws(simulator, events):
    at = columns(simulator, events)
    particles = (*LEPTONS, "j1", "j2")
    for axis in ("px", "py"):
        assert np.abs(sum(at[f"{axis}_{name}"] for name in particles)).max() < 1e-8
    energy, *momentum = (
        sum(at[f"{kind}_{name}"] for name in LEPTONS) for kind in ("E", "px", "py", "pz")
    )
    mass = np.sqrt(energy**2 - sum(p**2 for p in momentum))
    np.testing.assert_allclose(mass, 125.0, atol=1e-8)
    # What a beam has: energies add up to less than that of the protons.
    assert np.all(sum(at[f"E_{name}"] for name in particles) < 13_000.0)


def test_order_of_bosons_and_jets(simulator, events):
    at = columns(simulator, events)
    assert np.all(at["m_z1"] >= at["m_z2"])
    assert np.all(at["pt_j1"] >= at["pt_j2"])
    # One boson is close to its pole, and the tagging jets fly apart.
    assert abs(np.median(at["m_z1"]) - 91.2) < 3.0
    assert np.median(np.abs(at["eta_j1"] - at["eta_j2"])) > 2.0


def test_events_do_not_depend_on_what_was_simulated_before(simulator):
    theta = np.array([[2.0], [0.5], [2.0]])
    simulator.simulate(np.array([[-3.0]]), np.random.default_rng(8))
    used = simulator.simulate(theta, np.random.default_rng(3)).x
    fresh = PythiaVBFH4l().simulate(theta, np.random.default_rng(3)).x
    np.testing.assert_array_equal(used, fresh)
    assert len(np.unique(used[:, 0])) == 3


@pytest.mark.statistical
def test_parameter_is_twice_the_coupling_of_h4l(simulator):
    # The most likely a3 / a1 of 4,000 decays given their masses, by the closed form of h4l; its
    # error is 0.1, so that 0.5 is exceeded once in a million runs.
    ratios = np.linspace(-3.0, 3.0, 61)
    for eta_cp, decay in zip((2.0, -2.0), decays(simulator, (2.0, -2.0), 4_000), strict=True):
        form, total = angular_form(decay), helicity_form(decay.m_h, decay.m1, decay.m2)
        points = [np.array([[1.0, 0.0, ratio]]) for ratio in ratios]
        likelihood = [np.log(form(point) / total(point)).sum() for point in points]
        assert abs(ratios[np.argmax(likelihood)] - eta_cp / 2.0) < 0.5
