import numpy as np
import pytest
from scipy import stats

from lfi_mflow_simulators.h4l.amplitude import angular_form, helicity_form
from lfi_mflow_simulators.h4l.masses import MassSpectrum
from lfi_mflow_simulators.h4l.sampler import DecaySampler, Envelope


@pytest.mark.parametrize("width", [0.0, 1.0, 2.0])
def test_envelope_is_nowhere_below_the_density(width):
    spectrum = MassSpectrum(width)
    envelope, rng = Envelope(spectrum), np.random.default_rng(0)
    theta = rng.uniform([0.5, -1.0, -2.0], [1.5, 1.0, 2.0], (400_000, 3))
    bound, cube = envelope.propose(theta, rng)
    masses = spectrum.masses(*cube)
    ratio = spectrum.factor(*masses) * helicity_form(*masses)(theta) / bound
    assert ratio.max() < 0.99
    assert ratio.mean() > 0.2


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [(1.0, 0.0, 0.0), (0.5, -1.0, 1.0), (1.0, 1.0, 2.0)])
def test_masses_follow_the_density(theta):
    # Each of six p-values is below 1e-4 by chance in one of 10,000 runs.
    theta, n = np.array([theta]), 60_000
    decay = DecaySampler(MassSpectrum(0.0)).draw(np.repeat(theta, n, 0), np.random.default_rng(3))
    assert np.all(decay.m_h == 125.0)
    edges1, edges2 = np.array([0.0, 40, 70, 85, 90, 92, 97, 125]), np.arange(0.0, 70.0, 5.0)
    counts = np.histogram2d(decay.m1, decay.m2, (edges1, edges2))[0]
    # 30 x 30 midpoints per bin, in linear masses: an integral of its own.
    m1, m2 = (
        (edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(30) + 0.5) / 30.0).ravel()
        for edges in (edges1, edges2)
    )
    grid = np.meshgrid(m1, m2, indexing="ij")
    inside = (grid[1] < grid[0]) & (grid[0] + grid[1] < 125.0)
    density = np.zeros(grid[0].shape)
    chosen = [axis[inside] for axis in grid]
    masses = np.full(chosen[0].shape, 125.0), *chosen
    poles = [m**3 / ((m**2 - 91.1876**2) ** 2 + (91.1876 * 2.4952) ** 2) for m in chosen]
    room = (1.0 - (sum(chosen) / 125.0) ** 2) * (1.0 - ((chosen[0] - chosen[1]) / 125.0) ** 2)
    density[inside] = np.sqrt(room) * poles[0] * poles[1] * helicity_form(*masses)(theta)
    density *= np.repeat(np.diff(edges1), 30)[:, None]
    expected = density.reshape(7, 30, 13, 30).sum(axis=(1, 3))
    expected *= n / expected.sum()
    seen = expected > 20.0
    rest = np.array([n - counts[seen].sum()]), np.array([n - expected[seen].sum()])
    observed = np.append(counts[seen], rest[0])
    assert stats.chisquare(observed, np.append(expected[seen], rest[1])).pvalue > 1e-4


@pytest.mark.statistical
def test_angles_follow_the_density():
    # The probability integral transform of each angle given all else is uniform; each of the
    # three tests of Kolmogorov and Smirnov fails once in 10,000 runs.
    rng = np.random.default_rng(4)
    theta = rng.uniform([0.5, -1.0, -2.0], [1.5, 1.0, 2.0], (10_000, 3))
    decay = DecaySampler(MassSpectrum(1.0)).draw(theta, rng)
    fine = np.linspace(-np.pi, np.pi, 201)
    for name, grid in (("phi", fine), ("c1", fine / np.pi), ("c2", fine / np.pi)):
        rows = [
            angular_form(decay._replace(**{name: np.full(len(theta), value)}))(theta)
            for value in grid
        ]
        steps = 0.5 * (np.array(rows[1:]) + np.array(rows[:-1]))
        cumulative = np.concatenate([np.zeros((1, len(theta))), np.cumsum(steps, axis=0)])
        position = (getattr(decay, name) - grid[0]) / (grid[1] - grid[0])
        cell = np.minimum(position.astype(int), 199)
        columns = np.arange(len(theta))
        below, above = cumulative[cell, columns], cumulative[cell + 1, columns]
        quantile = (below + (position - cell) * (above - below)) / cumulative[-1]
        assert stats.kstest(quantile, "uniform").pvalue > 1e-4


@pytest.mark.statistical
def test_each_row_has_couplings_of_its_own():
    # sin(2 Phi) is odd, and so is a3: 5 standard deviations.
    n = 40_000
    theta = np.tile([[1.0, 0.0, 2.0], [1.0, 0.0, -2.0]], (n, 1))
    decay = DecaySampler(MassSpectrum(0.0)).draw(theta, np.random.default_rng(0))
    odd = np.sin(2.0 * decay.phi).reshape(n, 2)
    error = odd.std() / np.sqrt(n)
    assert abs(odd.mean(axis=0)).min() > 5.0 * error
    assert abs(odd.mean(axis=0).sum()) < 7.0 * error
