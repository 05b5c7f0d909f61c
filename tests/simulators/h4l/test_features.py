import numpy as np
import pytest

from lfi_mflow_simulators.h4l.features import FeatureMap, four_momentum, h4l_objects
from lfi_mflow_simulators.h4l.kinematics import lepton_momenta


@pytest.fixture
def features():
    return FeatureMap(h4l_objects(("E", "pt", "eta", "m")))


def test_names_and_units(features):
    names = [observable.name for observable in features.observables]
    assert names[:7] == ["E_l1m", "px_l1m", "py_l1m", "pz_l1m", "pt_l1m", "eta_l1m", "E_l1p"]
    assert names[24:30] == ["E_z1", "px_z1", "py_z1", "pz_z1", "pt_z1", "m_z1"]
    assert names[36:] == ["E_h", "pt_h", "eta_h", "m_h"]
    assert len(names) == 40
    assert {item.unit for item in features.observables if "eta" in item.name} == {""}
    assert features.observables[4].latex == r"p_T(\ell_1^-)"


def test_values_are_those_of_the_coordinates(features, z):
    x = features.evaluate(lepton_momenta(z))
    by_name = dict(zip([item.name for item in features.observables], x.T, strict=True))
    for name, row in (("pt_h", 0), ("m_z1", 6), ("m_z2", 7), ("m_h", 11)):
        np.testing.assert_allclose(by_name[name], z[row], rtol=1e-9)
    np.testing.assert_allclose(by_name["E_z1"], by_name["E_l1m"] + by_name["E_l1p"], rtol=1e-12)
    theta = np.arctan2(by_name["pt_l2p"], by_name["pz_l2p"])
    np.testing.assert_allclose(by_name["eta_l2p"], -np.log(np.tan(theta / 2.0)), atol=1e-9)


def test_momenta_are_read_off(features, z):
    momenta = lepton_momenta(z)
    np.testing.assert_array_equal(features.momenta(features.evaluate(momenta)), momenta)


def test_sum_of_all_is_the_higgs_boson(z):
    momenta = lepton_momenta(z)
    total = four_momentum(momenta, (0, 1, 2, 3))
    np.testing.assert_allclose(np.sqrt(total[0] ** 2 - (total[1:] ** 2).sum(axis=0)), z[11])


@pytest.mark.parametrize("higgs", [("E", "pt", "eta", "m"), ("px", "py", "pz")])
def test_jacobian_is_that_of_finite_differences(z, higgs):
    features, momenta = FeatureMap(h4l_objects(higgs)), lepton_momenta(z)
    jacobian = features.jacobian(momenta).reshape(300, -1, 4, 3)
    for part, axis in np.ndindex(4, 3):
        up, down = momenta.copy(), momenta.copy()
        up[part, axis] += 1e-4
        down[part, axis] -= 1e-4
        difference = (features.evaluate(up) - features.evaluate(down)) / 2e-4
        np.testing.assert_allclose(jacobian[:, :, part, axis], difference, atol=2e-5)


@pytest.mark.parametrize("higgs", [("E", "pt", "eta", "m"), ("E", "pt", "eta", "pz")])
def test_rank(z, higgs):
    jacobian = FeatureMap(h4l_objects(higgs)).jacobian(lepton_momenta(z))
    assert np.all(np.linalg.matrix_rank(jacobian) == 12)
