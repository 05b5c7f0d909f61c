import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.inference.moves import (
    DifferentialEvolution,
    KernelDensity,
    Kernels,
    Reference,
    Stretch,
)

MOVES = [Stretch(), DifferentialEvolution(), KernelDensity()]


@pytest.mark.statistical
@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_a_step_leaves_the_target_as_it_is(move, dim, generator):
    # Exact draws, a reference that is wrong in place and width, one Metropolis step.
    walkers = 40_000
    x = torch.randn(1, walkers, dim, generator=generator, dtype=torch.float64)
    points = 0.5 + 0.8 * torch.randn(1, 40, dim, generator=generator, dtype=torch.float64)
    y, log_factor = move.propose(x, Reference(points), generator)
    log_ratio = 0.5 * (x.square() - y.square()).sum(-1) + log_factor
    accepted = torch.rand(1, walkers, generator=generator).log() < log_ratio
    new = torch.where(accepted[..., None], y, x)[0].numpy()
    assert accepted.double().mean() > 0.2
    assert not torch.equal(x, y)
    for column in new.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    assert stats.kstest((new**2).sum(1), "chi2", args=(dim,)).pvalue > 1e-3


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_affine_invariance(move):
    matrix = torch.tensor([[100.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    shift = torch.tensor([5.0, -7.0], dtype=torch.float64)
    x = torch.randn(2, 6, 2, dtype=torch.float64)
    points = torch.randn(2, 20, 2, dtype=torch.float64)
    results = []
    for scale, offset in [(torch.eye(2, dtype=torch.float64), torch.zeros(2)), (matrix, shift)]:
        generator = torch.Generator().manual_seed(3)
        reference = Reference(points @ scale.T + offset)
        results.append(move.propose(x @ scale.T + offset, reference, generator))
    torch.testing.assert_close(
        results[0][0] @ matrix.T + shift, results[1][0], rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-6, atol=1e-6)


def test_two_picks_differ(generator):
    points = torch.arange(5.0).reshape(1, 5, 1)
    first, second = Reference(points).pick(2, 1000, generator)
    assert (first != second).all()
    assert set(first.flatten().tolist()) == set(second.flatten().tolist()) == {0, 1, 2, 3, 4}


def test_collapsed_reference_gives_finite_proposals(generator):
    x = torch.randn(1, 8, 2, dtype=torch.float64)
    same = torch.ones(1, 10, 2, dtype=torch.float64)
    y, _ = Stretch().propose(x, Reference(same), generator)
    assert torch.isfinite(y).all()


def test_kernels_sample_their_own_density(generator):
    points = torch.randn(1, 30, 1, generator=generator, dtype=torch.float64)
    kernels = Kernels.at(points, 0.3)
    nodes = torch.linspace(-60, 60, 120_001, dtype=torch.float64)
    density = kernels.log_prob(nodes[None, :, None])[0].exp()
    cdf = torch.cumulative_trapezoid(density, nodes)
    sample = kernels.sample(20_000, generator).flatten().numpy()
    result = stats.kstest(sample, lambda t: np.interp(t, nodes[1:], cdf / cdf[-1]))
    assert result.pvalue > 1e-3


def test_bandwidth_follows_the_shape_of_each_data_set(generator):
    normal = torch.randn(1, 256, 1, generator=generator, dtype=torch.float64)
    two_modes = torch.where(normal > 0, 1.0, -1.0) + 0.05 * normal
    repeated = normal[:, :128].repeat_interleave(2, dim=1)
    chosen = [
        float(Reference(points).kernels.bandwidth) for points in (normal, two_modes, repeated)
    ]
    assert chosen[0] > 0.3
    assert chosen[1] < 0.2
    assert chosen[2] > 0.2
