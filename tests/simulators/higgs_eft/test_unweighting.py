import numpy as np
import pytest
from scipy import stats

from lfi_mflow.simulation import monomials
from lfi_mflow_simulators.higgs_eft import HiggsEFT
from lfi_mflow_simulators.higgs_eft.sampler import draw_proposals, pilot
from lfi_mflow_simulators.higgs_eft.unweighting import envelope

SETUP = "les-houches", "analysis"


@pytest.fixture(scope="module")
def events():
    """Events at two theta in alternating rows."""
    theta = np.tile([[0.0, 0.0], [1.0, -1.0]], (10_000, 1))
    simulator = HiggsEFT(sampling="unweighted")
    return simulator, simulator.simulate(theta, np.random.default_rng(1))


def test_events_have_no_weight(events):
    simulator, drawn = events
    assert drawn.weight is None
    assert len(drawn) == 20_000
    assert len(np.unique(drawn.x[:, 0])) == 20_000
    mean = drawn.components[::2].mean(axis=0)
    error = drawn.components[::2].std(axis=0) / 100.0
    assert np.all(np.abs(mean - simulator.rates) <= 5.0 * error + 1e-12)


@pytest.mark.statistical
def test_unweighted_events_follow_the_weighted_ones(events):
    """Histograms of ten observables at each theta; one in a hundred seeds would fail one."""
    drawn = events[1]
    for row, theta in enumerate(([0.0, 0.0], [1.0, -1.0])):
        own = drawn.x[row::2]
        weighted = HiggsEFT().simulate(np.tile([theta], (60_000, 1)), np.random.default_rng(2))
        for column in (4, 5, 12, 16, 17, 22, 28, 31, 37, 39):
            edges = np.quantile(own[:, column], np.linspace(0.0, 1.0, 11))
            edges[[0, -1]] = -np.inf, np.inf
            counts = np.histogram(own[:, column], edges)[0] / len(own)
            heights, squares = (
                np.histogram(weighted.x[:, column], edges, weights=w)[0]
                for w in (weighted.weight, weighted.weight**2)
            )
            total = heights.sum()
            variance = counts / len(own) + squares / total**2
            chi2 = np.sum((counts - heights / total) ** 2 / variance)
            assert stats.chi2(9).sf(chi2) > 5e-4


def test_little_lies_above_the_envelope():
    """The part of the cross-section that is lost is that above the bound."""
    drawn = draw_proposals(100_000, *SETUP, np.random.default_rng(3)).parts.sum(axis=0)
    scaled = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [5.0, 0.0], [-10.0, -10.0]])
    for values in monomials(scaled):
        weight, bound = values @ drawn, (envelope(*SETUP) @ values).max()
        assert np.maximum(weight - bound, 0.0).sum() < 1e-3 * weight.sum()
        assert 0.01 < weight.mean() / bound < 0.25


def test_the_envelope_holds_the_largest_weights():
    theta = np.random.default_rng(4).normal(0.0, 3.0, (40, 2))
    components = pilot(*SETUP).components
    few = envelope(*SETUP)
    assert len(few) < 200
    for values in monomials(theta):
        assert (few @ values).max() > 0.98 * (components @ values).max()
