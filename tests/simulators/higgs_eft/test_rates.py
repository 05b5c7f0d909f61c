import numpy as np
import pytest

from lfi_mflow.errors import UnknownNameError
from lfi_mflow_simulators.higgs_eft.cuts import CUTS
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES
from lfi_mflow_simulators.higgs_eft.rates import rate_components
from lfi_mflow_simulators.higgs_eft.sampler import propose

# In the units of the published study, a theta ten times as strong, with their errors.
PUBLISHED = np.array([1.397, 6.479, 0.0, 53.59, 0.0, 9.845])
ERRORS = np.array([0.001, 0.005, 0.0, 0.06, 0.0, 0.010])
SCALES = np.array([1.0, 10.0, 10.0, 100.0, 100.0, 100.0])


def test_stored_components_are_the_published_ones():
    found = rate_components("les-houches", "jets") * SCALES
    assert np.all(np.abs(found - PUBLISHED) <= 2.5 * ERRORS)


def test_the_smallest_cross_section(published):
    theta = np.stack([np.linspace(-0.2, 0.1, 30_001), np.zeros(30_001)], axis=1)
    sigma = published.cross_section(theta)
    assert theta[np.argmin(sigma), 0] == pytest.approx(-0.0604, abs=1e-4)
    assert sigma.min() == pytest.approx(1.200, abs=2e-3)
    assert published.cross_section(np.array([[0.0, 1.0]]))[0] == pytest.approx(11.24, abs=0.02)


@pytest.mark.statistical
@pytest.mark.parametrize("densities", DENSITIES)
@pytest.mark.parametrize("cuts", CUTS)
def test_stored_components_are_those_of_the_proposals(densities, cuts):
    """Six components, each to four standard errors."""
    rng, attempts = np.random.default_rng(6), 60_000
    parts = [
        propose(10_000, densities, cuts, rng).parts.sum(axis=0) for _ in range(attempts // 10_000)
    ]
    components = np.concatenate(parts, axis=1)
    mean = components.sum(axis=1) / attempts
    error = np.sqrt(np.sum(components**2, axis=1)) / attempts
    assert np.all(np.abs(mean - rate_components(densities, cuts)) < 4.0 * error)
    assert error[0] < 0.01 * mean[0]


def test_unknown_rates():
    with pytest.raises(UnknownNameError, match="les-houches with jets"):
        rate_components("les-houches", "jet")
