"""What is particular to ratio estimators; the laws of tests/laws hold for them, too."""

import math

import pytest
import torch

from lfi_mflow.charts import NetworkSettings
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows import Dimensions, RatioEstimator, build_flow
from lfi_mflow.flows.ratio_networks import QuadraticRatio


@pytest.fixture
def flow():
    flow = build_flow("nre-c", Dimensions(3, 3, 1), {"network": {"hidden": 8, "blocks": 1}})
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return flow.double()


def test_what_a_ratio_is_to():
    for name, denominator in (("nre-a", "marginal"), ("bnre", "marginal"), ("alice", "reference")):
        flow = build_flow(name, Dimensions(3, 3, 1), {})
        assert isinstance(flow, RatioEstimator)
        assert flow.denominator == denominator


def test_it_starts_by_knowing_nothing():
    flow = build_flow("alices", Dimensions(3, 3, 2), {})
    assert torch.equal(flow.log_ratio(torch.randn(5, 3), torch.randn(5, 2)), torch.zeros(5))


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_quadratic_ratio(p):
    """Of two theta it is that of two polynomials, event over total, and starts as one."""
    settings = {"network": {"hidden": 8, "blocks": 1}, "dependence": "quadratic"}
    flow = build_flow("nre-c", Dimensions(4, 4, p), settings).double()
    x, theta = torch.randn(5, 1, 4).double(), torch.randn(40, p).double()
    assert torch.equal(flow.log_ratio(x, theta), torch.zeros(5, 40).double())
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    values = flow.log_ratio(x, theta).exp()
    a, b = flow.network.total[:p], flow.network.total[p:]
    square = torch.zeros(p, p).double()
    square[torch.tril_indices(p, p).unbind()] = b
    total = (1 + theta @ a).square() + (theta @ square).square().sum(dim=1)
    i, j = torch.tril_indices(p, p)
    monomials = torch.cat([torch.ones(40, 1), theta, theta[:, i] * theta[:, j]], dim=1)
    polynomials = values * total
    fit = torch.linalg.lstsq(monomials, polynomials.mT).solution
    torch.testing.assert_close(monomials @ fit, polynomials.mT)
    assert values.std(dim=1).min() > 1e-2


def test_a_bound_on_the_average_ratio():
    """Over theta of zero mean and unit covariance: each corner of a square."""
    network = QuadraticRatio(3, 2, NetworkSettings(hidden=8, blocks=1), most=4.0).double()
    z, corners = (
        torch.randn(50, 1, 3).double(),
        torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 2),
    )
    with torch.no_grad():
        for parameter in network.network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
        values = network(z, corners.double()).exp().mean(dim=1)
        assert values.max() < 4.0 + 1e-9
        assert values.std() > 0.01
        network.network.last.bias[0] = 50.0
        largest = network(z, corners.double()).exp().mean(dim=1)
    torch.testing.assert_close(largest, torch.full((50,), 4.0).double())


def test_a_dependence_that_is_unknown():
    with pytest.raises(UnknownNameError, match="did you mean 'quadratic'"):
        build_flow("nre-c", Dimensions(3, 3, 1), {"dependence": "quadratics"})


def test_calibrations_add_up(flow):
    x, theta = torch.randn(7, 3).double(), torch.randn(7, 1).double()
    before = flow.log_ratio(x, theta)
    flow.recalibrate(0.5, 0.3)
    torch.testing.assert_close(flow.log_ratio(x, theta), 0.5 * before + 0.3)
    flow.recalibrate(3.0, -1.0)
    torch.testing.assert_close(flow.log_ratio(x, theta), 3 * (0.5 * before + 0.3) - 1)
    for slope in (0.0, -0.2, math.nan):
        with pytest.raises(ConfigError, match=r"a slope b > 0 .* train it again"):
            flow.recalibrate(slope, 0.0)


def test_calibrations_are_not_trained(flow):
    assert not {"slope", "offset"} & dict(flow.named_parameters()).keys()
    assert {"slope", "offset"} <= flow.state_dict().keys()


def test_a_direction_without_width_is_not_blown_up(flow):
    """Redundant observables have principal axes of rounding errors: they stay small."""
    flow.standardisation.spectrum.copy_(torch.tensor([1.0, 0.09, 1e-14]))
    z = torch.tensor([[2.0, 0.6, 1e-7]]).double()
    white = flow.standardise_events(flow.standardisation(z))
    torch.testing.assert_close(white, torch.tensor([[2.0, 2.0, 1e-5]]).double())


def test_a_theta_that_never_changes_keeps_its_scale(flow):
    flow.standardise_theta(torch.full((10, 1), 0.7))
    assert flow.theta_scale.item() == 1.0
    assert flow.theta_mean.item() == pytest.approx(0.7)


def test_dimensions_that_cannot_be():
    with pytest.raises(ConfigError, match=r"parameters, for a ratio .* learns a density"):
        build_flow("nre-a", Dimensions(3, 3, 0), {})
    with pytest.raises(ConfigError, match=r"n = d = 3 in a ratio estimator, found n = 2"):
        build_flow("nre-a", Dimensions(3, 2, 1), {})
