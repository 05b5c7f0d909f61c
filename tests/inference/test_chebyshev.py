import pytest
import torch

from lfi_mflow.inference.chebyshev import chebyshev_nodes, interpolate


def test_nodes_are_nested_and_include_the_ends():
    fine, coarse = chebyshev_nodes(17), chebyshev_nodes(9)
    torch.testing.assert_close(fine[::2], coarse)
    assert (fine[0], fine[-1]) == (0.0, 1.0)
    assert (fine.diff() > 0).all()


@pytest.mark.parametrize("targets", [torch.linspace(0, 1, 50), chebyshev_nodes(17)])
def test_polynomials_are_exact(targets):
    t = chebyshev_nodes(9)
    values = torch.stack([t**8 - 3 * t**3, 1 - t])
    expected = torch.stack([targets**8 - 3 * targets**3, 1 - targets]).double()
    torch.testing.assert_close(interpolate(values, targets), expected, atol=1e-6, rtol=0)


def test_two_variables():
    t, targets = chebyshev_nodes(9), torch.linspace(0, 1, 7, dtype=torch.float64)
    values = (t[:, None] ** 3 - t[None, :] ** 2 * t[:, None])[None]
    expected = (targets[:, None] ** 3 - targets[None, :] ** 2 * targets[:, None])[None]
    torch.testing.assert_close(interpolate(values, targets), expected)
