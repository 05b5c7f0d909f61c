import numpy as np
import pytest

from lfi_mflow.inference.experiment import Constraint, DataSet
from lfi_mflow.inference.regions import Scan, find_box, intervals, scan_likelihood, wilks


def test_critical_values_of_wilks():
    assert wilks(0.6827, 1) == pytest.approx(1.0, abs=1e-3)
    assert wilks(0.95, 2) == pytest.approx(5.991, abs=1e-3)


def test_intervals_may_be_in_pieces():
    axis = np.linspace(-2, 2, 401)
    statistic = (axis**2 - 1) ** 2
    pieces = intervals(axis, statistic, 0.25)
    ends = np.sqrt([0.5, 1.5])
    np.testing.assert_allclose(pieces, [[-ends[1], -ends[0]], ends], atol=1e-3)
    assert intervals(axis, statistic + 1.0, 0.5) == []
    assert intervals(axis, statistic, 100.0) == [(-2.0, 2.0)]
    rising = np.where(axis < 0, 0.25, -1.0)
    np.testing.assert_allclose(intervals(axis, statistic, rising), pieces[:1], atol=1e-3)


def test_the_box_holds_all_that_matters(counting):
    x = np.random.default_rng(0).normal(0.3, 1.0, (400, 1))
    experiment = counting(None)
    ((low, high),) = find_box(experiment, experiment.log_likelihood(DataSet(x)))
    reach = np.sqrt(30.0 / 400)
    assert low <= x.mean() - reach
    assert high >= x.mean() + reach
    assert high - low < 4.0 * reach


def test_the_box_holds_both_of_two_narrow_maxima(counting):
    def density(theta):
        return -0.5 * ((theta[..., 0] ** 2 - 1.0) / 0.02) ** 2

    ((low, high),) = find_box(counting(None), density)
    assert low < -1.0 < 1.0 < high
    assert high - low < 2.6


def test_the_scan_profiles_nuisances_and_the_other_parameter(counting):
    experiment = counting(None, ("a", "b", "nu"), constraints=(Constraint(2, 0.5, 0.3),))

    def density(theta):
        a, b, nu = theta.unbind(-1)
        shift = -0.5 * ((a + nu - 1.0) / 0.4) ** 2 - 0.5 * ((b - 0.2) / 0.1) ** 2
        return shift + experiment.constraint_term(theta)

    axes = np.linspace(-1, 2, 31), np.linspace(-0.2, 0.6, 41)
    scan = scan_likelihood(experiment, density, axes)
    # a is known to the quadratic sum of 0.4 and 0.3, around 1 - 0.5
    np.testing.assert_allclose(scan.single(0), ((axes[0] - 0.5) / 0.5) ** 2, atol=1e-6)
    np.testing.assert_allclose(scan.single(1), ((axes[1] - 0.2) / 0.1) ** 2, atol=1e-6)
    assert scan.statistic.shape == (31, 41)


def test_values_along_a_profile():
    axes = np.linspace(0, 1, 3), np.linspace(0, 1, 4)
    statistic = np.array([[3.0, 1, 2, 3], [0, 5, 5, 5], [9, 9, 9, 0.5]])
    values = np.arange(12.0).reshape(3, 4)
    scan = Scan(axes, statistic)
    assert scan.single(0).tolist() == [1, 0, 0.5]
    assert scan.along(0, values).tolist() == [1, 4, 11]
    assert scan.along(1, values).tolist() == [4, 1, 2, 11]
