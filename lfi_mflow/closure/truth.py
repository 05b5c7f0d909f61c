r"""How dense posteriors are at the true parameters.

.. math:: \log \frac1L \sum_l N(\theta^* | \theta_l, h^2)

of L posterior samples with a fixed bandwidth h, as published. A kernel that is wider
than the posterior hides how narrow it is: then the value says little, and that of the
exact posterior, which is smoothed as well, is what to compare with.

References:
    Flows for simultaneous manifold learning and density estimation (Brehmer &
    Cranmer, 2020), https://arxiv.org/abs/2003.13913, section 4.D and appendix.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from lfi_mflow.closure.published import Array
from lfi_mflow.errors import DataError

__all__ = ["log_density_at_truth"]


def log_density_at_truth(theta: Array, draws: Array, bandwidth: float) -> Array:
    """Log of a Gaussian kernel density estimate at the truth, with shape (D,).

    Arguments:
        theta: True parameters of D sets of events, with shape (D, p).
        draws: Posterior samples of each, with shape (D, L, p).
        bandwidth: Standard deviation of the kernels, in the units of the parameters.

    Raises:
        DataError: If the shapes do not fit together.
    """
    if draws.ndim != 3 or (len(draws), draws.shape[2]) != theta.shape:
        raise DataError(
            f"draws of shape ({len(theta)}, L, {theta.shape[-1]})",
            f"{draws.shape}",
            "give the draws of every set",
        )
    p = theta.shape[1]
    squares = np.sum(((draws - theta[:, None]) / bandwidth) ** 2, axis=2)
    norm = math.log(draws.shape[1]) + p * math.log(bandwidth * math.sqrt(2.0 * math.pi))
    return np.asarray(logsumexp(-0.5 * squares, axis=1) - norm)
