import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import beta

from lfi_mflow.errors import UnknownNameError
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES, luminosity, parton_densities


@pytest.mark.parametrize("name", DENSITIES)
def test_the_proton_has_two_up_and_one_down_valence_quarks(name):
    densities = parton_densities(name)
    for terms, quarks in ((densities.up, 2.0), (densities.down, 1.0)):
        a, b, c = terms[0]
        assert a * beta(b, c + 1.0) == pytest.approx(quarks, rel=3e-3)


@pytest.mark.parametrize("name", DENSITIES)
def test_quarks_carry_a_part_of_the_momentum(name):
    densities = parton_densities(name)
    momentum = sum(
        quad(lambda x, f=f: f(np.array([x]))[0], 0.0, 1.0)[0] for f in (densities.xu, densities.xd)
    )
    assert 0.4 < momentum < 0.65


def test_the_les_houches_input_at_a_tenth():
    x, densities = np.array([0.1]), parton_densities("les-houches")
    antidown = 0.1939875 * 0.1**-0.1 * 0.9**6
    up = 5.107200 * 0.1**0.8 * 0.9**3 + 0.9 * antidown
    down = 3.064320 * 0.1**0.8 * 0.9**4 + antidown
    np.testing.assert_allclose(densities.xu(x), up, rtol=1e-14)
    np.testing.assert_allclose(densities.xd(x), down, rtol=1e-14)
    np.testing.assert_allclose(luminosity(densities, x, x), 2.0 * up * down, rtol=1e-14)


def test_the_other_option_is_softer():
    x = np.geomspace(1e-3, 0.5, 50)
    ratio = DENSITIES["lhc"].xd(x) / DENSITIES["les-houches"].xd(x)
    assert ratio[0] > 1.0 > ratio[-1]


def test_luminosity_is_that_of_either_beam():
    x_a, x_b = np.array([0.01, 0.2]), np.array([0.3, 0.02])
    densities = DENSITIES["lhc"]
    expected = densities.xu(x_a) * densities.xd(x_b) + densities.xd(x_a) * densities.xu(x_b)
    np.testing.assert_allclose(luminosity(densities, x_a, x_b), expected)
    np.testing.assert_allclose(luminosity(densities, x_b, x_a), expected)


def test_unknown_densities():
    with pytest.raises(UnknownNameError, match="les-houches"):
        parton_densities("les-houche")
