r"""The six components of the cross-section: the only numbers that are not closed formulas.

Each is the mean over 12 scrambled Sobol sequences of 2^21 points each, mapped to
proposals; their spread gives the errors. Components that are odd under CP vanish
exactly, because the cuts are even; the integration found them below 6e-5 pb.

References:
    A. B. Owen, Scrambling Sobol' and Niederreiter-Xing points, Journal of Complexity 14
    (1998) 466.
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.errors import UnknownNameError
from lfi_mflow.simulation import Array

__all__ = ["RATES", "rate_components"]

RATES = {
    # relative errors below 1e-4, 1e-4, 3e-4 and 2e-4
    ("les-houches", "analysis"): (1.09475, 0.514176, 0.266966, 0.0651037),
    ("les-houches", "jets"): (1.39767, 0.648685, 0.536456, 0.0983903),
    ("lhc", "analysis"): (0.830993, 0.346103, 0.161868, 0.0452987),
    ("lhc", "jets"): (1.048884, 0.423071, 0.276036, 0.0632538),
}
"""Components in pb by parton densities and cuts, at a scale of theta of 1.

Those of 1, theta1, theta1^2 and theta2^2.
"""


def rate_components(densities: str, cuts: str) -> Array:
    """Return the components of sigma in pb at a scale of theta of 1, with shape (6,).

    Raises:
        UnknownNameError: If they were not integrated for these densities and cuts.
    """
    if (densities, cuts) not in RATES:
        known = [" with ".join(key) for key in RATES]
        raise UnknownNameError("cross-section", f"{densities} with {cuts}", known)
    standard, linear, square_1, square_2 = RATES[densities, cuts]
    return np.array([standard, linear, 0.0, square_1, 0.0, square_2])
