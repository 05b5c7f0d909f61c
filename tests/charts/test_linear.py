"""The learned linear map, and the standardisation."""

import pytest
import torch

from lfi_mflow.charts import PIXEL, Standardisation, TriangularLinear
from lfi_mflow.errors import DataError


def exact_log_det(function, x):
    """log|det| of the Jacobian at each row, by autograd."""
    rows = [torch.autograd.functional.jacobian(lambda r: function(r[None])[0], row) for row in x]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet


def test_triangular_starts_as_the_identity(generator, dtype):
    layer = TriangularLinear(4).to(dtype)
    x = torch.randn(10, 4, generator=generator).to(dtype)
    z, log_det = layer.inverse_and_log_det(x)
    assert torch.equal(layer(x), x)
    assert torch.equal(z, x)
    assert torch.equal(log_det, torch.zeros(10, dtype=dtype))


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_triangular_inverse_and_log_det(perturb, generator, dtype, dim):
    layer = perturb(TriangularLinear(dim), 0.5).to(dtype)
    z = torch.randn(10, dim, generator=generator).to(dtype)
    x = layer(z)
    assert (x - z).abs().max() > 0.1
    eps = torch.finfo(dtype).eps
    back, log_det = layer.inverse_and_log_det(x)
    assert (layer.inverse(x) - z).abs().max() < 1e3 * eps
    assert torch.equal(back, layer.inverse(x))
    assert log_det.shape == (10,)
    assert (log_det - exact_log_det(layer.inverse, x)).abs().max() < 1e3 * eps


def test_triangular_inverts_far_from_the_identity():
    layer = TriangularLinear(2).double()
    with torch.no_grad():
        layer.log_diagonal.copy_(torch.tensor([-6.0, 3.0]))
        layer.lower.fill_(3.0)
        layer.upper.fill_(-2.0)
    z = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(layer.inverse(layer(z)), z)


@pytest.fixture
def moments(generator):
    """Mean and covariance of three correlated features with different spreads."""
    mixing = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.3, 0.0, 4.0]], dtype=torch.float64)
    return torch.tensor([10.0, -3.0, 1e3], dtype=torch.float64), mixing @ mixing.T


def test_fit_whitens_onto_principal_axes(moments, dtype):
    mean, covariance = moments
    scaling = Standardisation(3).to(dtype)
    scaling.fit(mean, covariance, ["GeV"] * 3)
    scale, axes = scaling.scale.double(), scaling.axes.double()
    rms = covariance.diagonal().mean().sqrt().expand(3)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(scale, rms, rtol=10 * eps, atol=0)
    torch.testing.assert_close(scaling.mean, mean.to(dtype))
    turned = axes.T @ (covariance / torch.outer(scale, scale)) @ axes
    spectrum = scaling.spectrum.double()
    torch.testing.assert_close(turned, torch.diag(spectrum), rtol=0, atol=100 * eps)
    assert (spectrum.diff() < 0).all()  # by falling variance
    torch.testing.assert_close(axes @ axes.T, torch.eye(3).double(), rtol=0, atol=10 * eps)


def test_the_axes_may_stay_those_of_the_observables(moments):
    mean, covariance = moments
    turned, straight = Standardisation(len(mean)), Standardisation(len(mean), turns=False)
    for standardisation in (turned, straight):
        standardisation.fit(mean, covariance, [""] * len(mean))
    torch.testing.assert_close(straight.scale, turned.scale)
    torch.testing.assert_close(straight.axes, torch.eye(len(mean)))
    scaled = covariance.diagonal() / straight.scale.double().square()
    torch.testing.assert_close(straight.spectrum.double(), scaled, rtol=1e-5, atol=1e-6)
    x = torch.randn(4, len(mean))
    torch.testing.assert_close(straight.inverse(x), (x - straight.mean) / straight.scale)


@pytest.mark.parametrize(
    ("spreads", "units", "expected"),
    [
        ((1.0, 7.0, 2.0), "aab", (5.0, 5.0, 2.0)),  # rms of 1 and 7
        ((1.0, 10.0, 2.0), "aab", (1.0, 10.0, 2.0)),  # too far apart to share
        ((1.0, 7.0, 2.0), "abc", (1.0, 7.0, 2.0)),
        ((3.0, 4.0, 5.0), "aba", (17.0**0.5, 4.0, 17.0**0.5)),
        ((1.0, 5.0, 49.0), "aaa", (1.0, 5.0, 49.0)),
        ((1.0, 7.0, 49.0), [PIXEL, PIXEL, "a"], (5.0, 5.0, 49.0)),
        ((1.0, 7.0, 1e3), [PIXEL] * 3, 3 * ((1e6 + 50) ** 0.5 / 3**0.5,)),  # a blank border
    ],
)
def test_features_of_one_unit_share_a_scale(spreads, units, expected):
    scaling = Standardisation(3).double()
    covariance = torch.diag(torch.tensor(spreads, dtype=torch.float64).square())
    scaling.fit(torch.zeros(3), covariance, units)
    torch.testing.assert_close(scaling.scale, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_a_constant_column_is_an_error(column, mean):
    spread = torch.ones(3, dtype=torch.float64)
    spread[column] = 1e-10 * abs(mean) * 1e-3
    with pytest.raises(DataError, match=f"column {column}.*leave that observable out"):
        Standardisation(3).fit(torch.full((3,), mean).double(), torch.diag(spread**2), "abc")


def test_a_small_spread_around_a_large_mean_is_no_constant():
    scaling = Standardisation(2).double()
    covariance = torch.diag(torch.tensor([1e-6, 1.0], dtype=torch.float64)) ** 2
    scaling.fit(torch.tensor([1e3, 0.0]).double(), covariance, "ab")
    torch.testing.assert_close(scaling.scale, torch.tensor([1e-6, 1.0], dtype=torch.float64))


def test_collinear_features_have_a_spectrum_of_zero():
    covariance = torch.ones(2, 2, dtype=torch.float64)
    scaling = Standardisation(2).double()
    scaling.fit(torch.zeros(2), covariance, ["", ""])
    torch.testing.assert_close(scaling.spectrum, torch.tensor([2.0, 0.0], dtype=torch.float64))
    assert (scaling.spectrum >= 0).all()


def test_standardisation_inverse_and_log_det(moments, generator, dtype):
    scaling = Standardisation(3).to(dtype)
    scaling.fit(*moments, "abc")
    z = torch.randn(10, 3, generator=generator).to(dtype)
    x = scaling(z)
    back, log_det = scaling.inverse_and_log_det(x)
    eps = torch.finfo(dtype).eps
    # the mean of 1e3 takes three digits of a spread of 4
    assert (back - z).abs().max() < 2e3 * eps
    assert torch.equal(back, scaling.inverse(x))
    assert log_det.shape == (10,)
    exact = -0.5 * moments[1].diagonal().log().sum()
    assert (log_det - exact).abs().max() < 10 * eps * (1 + exact.abs())
    torch.testing.assert_close(log_det.double(), exact_log_det(scaling.inverse, x).double())


def test_standardisation_is_state_and_not_trained(moments):
    scaling = Standardisation(3)
    assert not list(scaling.parameters())
    assert set(scaling.state_dict()) == {"mean", "scale", "axes", "spectrum"}
