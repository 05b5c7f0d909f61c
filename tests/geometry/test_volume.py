"""Volumes against each other, against autograd and against singular values."""

import pytest
import torch
from torch.autograd.functional import jacobian

from lfi_mflow.charts import Composition, CouplingChart, CouplingSettings, Standardisation
from lfi_mflow.geometry import (
    half_log_det_gram,
    log_volume_by_minor,
    log_volume_by_tangents,
    volume,
)

DIMENSIONS = [(2, 1), (3, 1), (3, 2), (4, 3), (5, 2), (7, 4)]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)


@pytest.fixture(autouse=True)
def _seed_of_new_weights():
    with torch.random.fork_rng():
        torch.manual_seed(21)
        yield


@pytest.fixture
def make_chart(generator):
    """A function that makes a bent chart of d and n, followed by anisotropic scales."""

    def make(d, n, dtype):
        settings = CouplingSettings(layers=3, bins=4, bound=3.0, hidden=8, blocks=1)
        chart = CouplingChart(d, n, settings)
        scaling = Standardisation(d)
        scaling.scale.copy_(torch.logspace(-1, 1, d))
        with torch.no_grad():
            for parameter in chart.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        chart.bijection = Composition([*chart.bijection.layers, scaling])
        return chart.to(dtype)

    return make


def by_autograd(chart, u):
    """V and the condition of J row by row: the reference, with none of the code under test."""
    rows = [jacobian(lambda row: chart.decode(row[None])[0], row) for row in u]
    values = torch.linalg.svdvals(torch.stack(rows).double())
    return values.log().sum(dim=-1), values[:, 0] / values[:, -1]


@pytest.mark.parametrize(("d", "n"), DIMENSIONS)
def test_both_methods_agree_with_autograd(make_chart, generator, dtype, d, n):
    chart = make_chart(d, n, dtype)
    u = 1.5 * torch.randn(10, n, generator=generator).to(dtype)
    exact, condition = by_autograd(chart, u)
    tangents = log_volume_by_tangents(chart.decode, u)
    minor = log_volume_by_minor(chart.bijection.inverse_and_log_det, chart.decode(u), n)
    assert tangents.dtype == minor.dtype == dtype
    assert exact.std() > 0.05  # the charts are bent: V is no constant
    # a Gram matrix has the condition of J squared, and J itself an error of tens of eps
    bound = torch.finfo(dtype).eps * (1e2 + condition**2)
    assert ((tangents - exact).abs() < 10 * bound).all()
    # the inverse is taken at a rounded point, and splines magnify the rounding
    assert ((minor - exact).abs() < 100 * bound).all()


def test_the_volume_of_a_known_surface(generator):
    """A sphere of radius r: V = n log r + log sin, here by spherical angles."""
    angles = torch.rand(50, 2, generator=generator, dtype=torch.float64) + 0.5

    def sphere(u):
        polar, azimuth = u.unbind(-1)
        x, y = polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin()
        return 3.0 * torch.stack([x, y, polar.cos()], dim=-1)

    expected = 2 * torch.tensor(3.0, dtype=torch.float64).log() + angles[:, 0].sin().log()
    torch.testing.assert_close(log_volume_by_tangents(sphere, angles), expected)


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (6, 4), (40, 14)])
def test_gram_against_singular_values(generator, dtype, shape):
    matrix = torch.randn(30, *shape, generator=generator).to(dtype)
    expected = torch.linalg.svdvals(matrix.double()).log().sum(dim=-1)
    error = half_log_det_gram(matrix) - expected
    assert error.abs().max() < 1e4 * torch.finfo(dtype).eps  # condition up to 1e2


@pytest.fixture
def ill_conditioned(generator):
    """Orthogonal frames times singular values down to 1e-7: a Gram matrix loses them."""
    left = torch.linalg.qr(torch.randn(3, 6, 3, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)).Q
    values = torch.tensor([[3.0, 1.0, 1e-7], [2.0, 1e-3, 1e-10], [2.0, 1.0, 0.5]]).double()
    return left @ torch.diag_embed(values) @ right, values.log().sum(dim=-1)


def test_ill_conditioned_matrices_go_to_qr(monkeypatch, ill_conditioned):
    matrix, expected = ill_conditioned
    calls = []
    original = torch.linalg.qr

    def counted(*arguments, **options):
        calls.append(len(arguments[0]))
        return original(*arguments, **options)

    monkeypatch.setattr(volume.torch.linalg, "qr", counted)
    assert (half_log_det_gram(matrix) - expected).abs().max() < 1e-5
    assert calls == [3]
    half_log_det_gram(matrix[2:])
    assert calls == [3]  # well-conditioned: Cholesky alone
    # what the Gram matrix alone would have given
    naive = 0.5 * torch.linalg.slogdet(matrix.mT @ matrix).logabsdet
    assert not (naive - expected).abs().max() < 1e-2


def test_gradients_pass_through_both_factorisations(ill_conditioned):
    matrix, _ = ill_conditioned
    for part in (matrix, matrix[2:]):
        leaf = part.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(half_log_det_gram(leaf).sum(), leaf)
        expected = torch.linalg.pinv(part).mT  # d log|A| = A^+T dA
        # relative to the matrix: the condition squared is lost at most
        scale = expected.abs().amax(dim=(1, 2), keepdim=True)
        assert ((gradient - expected) / scale).abs().max() < 1e-4


def test_a_singular_matrix_has_volume_zero():
    matrix = torch.zeros(2, 4, 2, dtype=torch.float64)
    matrix[:, 0, :] = 1.0
    assert (half_log_det_gram(matrix) < -30).all()


@pytest.mark.parametrize("method", ["tangents", "minor"])
def test_double_backward(make_chart, generator, method):
    """The gradient of V with respect to the weights, against central differences."""
    chart = make_chart(3, 2, torch.float64)
    u = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    weight = chart.bijection.layers[0].conditioner.blocks[0][1].weight

    def total():
        if method == "tangents":
            return log_volume_by_tangents(chart.decode, u).sum()
        x = chart.decode(u)
        return log_volume_by_minor(chart.bijection.inverse_and_log_det, x, 2).sum()

    (gradient,) = torch.autograd.grad(total(), weight)
    direction = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
            values.append(total())
            weight -= sign * step * direction
    slope = (values[0] - values[1]) / (2 * step)
    assert slope.abs() > 1e-3
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("d", "n"), [(3, 2), (5, 2)])
def test_chunks_do_not_change_the_result(monkeypatch, make_chart, generator, dtype, d, n):
    chart = make_chart(d, n, dtype)
    u = torch.randn(9, n, generator=generator).to(dtype)
    x = chart.decode(u).detach()

    def both():
        return torch.stack(
            [
                log_volume_by_tangents(chart.decode, u),
                log_volume_by_minor(chart.bijection.inverse_and_log_det, x, n),
            ]
        )

    whole = both()
    sizes = []
    monkeypatch.setattr(
        volume,
        "half_log_det_gram",
        lambda matrix: sizes.append(len(matrix)) or half_log_det_gram(matrix),
    )
    for rows in (1, 4):
        sizes.clear()
        monkeypatch.setattr(volume, "MAX_ELEMENTS", rows * 100 * n**2)
        chunked = both()
        assert sizes[0] == rows
        assert len(sizes) > 2
        eps = torch.finfo(dtype).eps
        # products of other sizes round differently, and steep splines magnify it
        torch.testing.assert_close(chunked, whole, rtol=0, atol=1e4 * eps)


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(make_chart, dtype, rows):
    chart = make_chart(4, 2, dtype)
    u = torch.zeros(rows, 2, dtype=dtype)
    assert log_volume_by_tangents(chart.decode, u).shape == (rows,)
    x = chart.decode(u)
    assert log_volume_by_minor(chart.bijection.inverse_and_log_det, x, 2).shape == (rows,)
