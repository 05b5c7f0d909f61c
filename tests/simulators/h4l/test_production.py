import math

import numpy as np
import pytest
from scipy import integrate, stats

from lfi_mflow_simulators.h4l.production import draw_production, log_production


def test_density_is_normalised():
    def density(y, pt):
        return math.exp(log_production(np.array([pt]), np.array([y]))[0])

    total = integrate.dblquad(density, 0.0, 600.0, -8.0, 8.0, epsabs=1e-10)[0]
    # cos theta*, three azimuths.
    assert total * 2.0 * (2.0 * math.pi) ** 3 == pytest.approx(1.0, abs=1e-6)


@pytest.mark.statistical
def test_draws_follow_the_density():
    # Six tests of Kolmogorov and Smirnov, each fails once in 10,000 runs.
    pt, y, *angles = draw_production(50_000, np.random.default_rng(0))
    assert stats.kstest(pt, stats.gamma(2.0, scale=20.0).cdf).pvalue > 1e-4
    assert stats.kstest(y, stats.norm().cdf).pvalue > 1e-4
    for values, half in zip(angles, (math.pi, 1.0, math.pi, math.pi), strict=True):
        assert stats.kstest(values, stats.uniform(-half, 2.0 * half).cdf).pvalue > 1e-4
