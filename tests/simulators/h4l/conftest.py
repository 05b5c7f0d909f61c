import numpy as np
import pytest


@pytest.fixture
def z():
    """Coordinates of 300 events, away from the ends of their ranges, with shape (12, 300)."""
    rng = np.random.default_rng(5)
    low = [1.0, -2.0, -3.0, -0.98, -3.0, -3.0, 65.0, 4.0, -0.98, -0.98, -3.0, 122.0]
    high = [150.0, 2.0, 3.0, 0.98, 3.0, 3.0, 92.0, 29.0, 0.98, 0.98, 3.0, 128.0]
    return rng.uniform(low, high, (300, 12)).T


@pytest.fixture
def couplings():
    """Points of all signs, with shape (6, 3)."""
    return np.array(
        [
            (1.0, 0.0, 0.0),
            (0.0, 1.0, 0.0),
            (0.0, 0.0, 1.0),
            (1.0, -0.8, 1.5),
            (0.5, 1.0, -2.0),
            (1.5, -1.0, -0.3),
        ]
    )


@pytest.fixture
def helicity_formula():
    """The five-fold decay density in complex helicity amplitudes, as it is published."""

    def density(theta, m_h, m1, m2, c1, c2, phi):
        mz, gz, af = 91.1876, 2.4952, 0.149
        k1, k2, k3 = theta[0] * mz**2, 2.0 * theta[1], 2.0 * theta[2]
        s = 0.5 * (m_h**2 - m1**2 - m2**2)
        gamma = s / (m1 * m2)
        root = np.sqrt(gamma**2 - 1.0)
        zero = k1 * gamma + k2 * m1 * m2
        plus = -(k1 + k2 * s + 1j * k3 * m1 * m2 * root)
        minus = -(k1 + k2 * s - 1j * k3 * m1 * m2 * root)
        s1, s2 = np.sqrt(1.0 - c1**2), np.sqrt(1.0 - c2**2)
        turn = np.exp(1j * phi)
        f = 4.0 * abs(zero) ** 2 * s1**2 * s2**2
        f = f + abs(plus) ** 2 * (1 + 2 * af * c1 + c1**2) * (1 + 2 * af * c2 + c2**2)
        f = f + abs(minus) ** 2 * (1 - 2 * af * c1 + c1**2) * (1 - 2 * af * c2 + c2**2)
        first = (zero * plus.conj() * turn).real * (af + c1) * (af + c2)
        second = (zero * minus.conj() / turn).real * (af - c1) * (af - c2)
        f = f + 4.0 * (first + second) * s1 * s2
        f = f + 2.0 * (plus * minus.conj() / turn**2).real * s1**2 * s2**2
        room = (1.0 - (m1 + m2) ** 2 / m_h**2) * (1.0 - (m1 - m2) ** 2 / m_h**2)
        poles = [m**3 / ((m**2 - mz**2) ** 2 + mz**2 * gz**2) for m in (m1, m2)]
        return np.sqrt(room) * poles[0] * poles[1] * f

    return density
