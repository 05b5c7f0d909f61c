import numpy as np
import pytest

from lfi_mflow.errors import UnknownNameError
from lfi_mflow_simulators.higgs_eft import HiggsEFT
from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent
from lfi_mflow_simulators.higgs_eft.cuts import CUTS, find_cut, passes_jet_cuts
from lfi_mflow_simulators.higgs_eft.features import OBSERVABLES

NAMES = [observable.name for observable in OBSERVABLES]


def event(pt1=50.0, pt2=40.0, y1=2.0, y2=-2.0, delta=1.0):
    return HardEvent(*(np.array([value]) for value in (pt1, pt2, y1, y2, 0.0, delta)))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"pt2": 19.9}, False),
        ({"pt1": 19.9}, False),
        ({"y1": 5.01}, False),
        ({"y2": -5.01}, False),
        ({"y1": 0.3, "y2": 0.0, "delta": 0.2}, False),
        ({"y1": 0.3, "y2": 0.0, "delta": -0.3}, True),
    ],
)
def test_cuts_on_jets(change, kept):
    assert passes_jet_cuts(event(**change))[0] == kept


def test_events_of_the_analysis_are_within_its_acceptance():
    x = HiggsEFT().simulate(np.zeros((20_000, 2)), np.random.default_rng(4)).x
    columns = dict(zip(NAMES, x.T, strict=True))
    least = {"pt_j2": 20.0, "pt_a2": 10.0}
    most = {"eta_a1": 2.5, "eta_a2": 2.5, "eta_j1": 5.0, "eta_j2": 5.0}
    for name, bound in least.items():
        assert bound < columns[name].min() < 1.05 * bound
    for name, bound in most.items():
        assert 0.97 * bound < np.abs(columns[name]).max() < bound
    for pair, bound in (("a", 0.5), ("j", 0.4)):
        one, two = (columns[f"px_{pair}{i}"] + 1j * columns[f"py_{pair}{i}"] for i in "12")
        distance = np.hypot(np.angle(one / two), columns[f"deltaeta_{2 * pair}"])
        assert bound < distance.min() < 1.2 * bound


def test_each_photon_cut_matters(proposals):
    """On events with cuts on jets only, the analysis takes away the rest."""
    p = proposals[0].p
    pt = np.hypot(p[:, 1], p[:, 2])
    eta = np.arcsinh(p[:, 3] / pt)
    distance = np.hypot(
        eta[0] - eta[1], np.angle((p[0, 1] + 1j * p[0, 2]) / (p[1, 1] + 1j * p[1, 2]))
    )
    keeps = [pt[1] > 10.0, np.abs(eta[0]) < 2.5, np.abs(eta[1]) < 2.5, distance > 0.5]
    kept = find_cut("analysis")(p)
    for keep in keeps:
        assert np.sum(~keep) > 0
        assert not np.any(kept & ~keep)
    # What is left differs only where a jet's eta is beyond the cut and its y is not.
    rest = np.all(keeps, axis=0) & ~kept
    assert np.all(
        (np.abs(eta[2:, rest]).max(axis=0) > 4.99) | (np.abs(eta[2] - eta[3])[rest] < 0.4)
    )


def test_unknown_cuts():
    assert set(CUTS) == {"analysis", "jets"}
    with pytest.raises(UnknownNameError, match="analysis"):
        find_cut("analysys")
