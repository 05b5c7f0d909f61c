r"""The Kullback-Leibler divergence between two posteriors of the same events.

.. math:: KL(p, q) = E_p[\ell_p - \ell_q] + \log E_p[e^{\ell_q - \ell_p}]

with the logarithms :math:`\ell` of both densities, up to constants: the second term is the
logarithm of the ratio of the two that they lack. So draws from p and two functions are all
it takes. By Jensen's inequality the estimate is never negative; where hardly any draw of p
lies in the mass of q it is too small.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from lfi_mflow.closure.published import Array
from lfi_mflow.errors import DataError

__all__ = ["kl_divergence"]


def kl_divergence(log_p: Array, log_q: Array) -> Array:
    """Divergence of D pairs of densities, in nats: with shape (D,).

    Arguments:
        log_p: Log-density of p at draws from p, up to a constant of each pair, (D, L).
        log_q: The same of q, at the same draws.

    Raises:
        DataError: If the shapes differ, or p has no density at a draw.
    """
    if log_p.ndim != 2 or log_p.shape != log_q.shape:
        raise DataError("two arrays (D, L)", f"{log_p.shape} and {log_q.shape}", "give both")
    if not np.isfinite(log_p).all():
        raise DataError(
            "finite log-densities at the draws", "infinite ones or NaN", "take draws of p"
        )
    difference = log_q - log_p
    lacking = logsumexp(difference, axis=1) - math.log(log_p.shape[1])
    return np.asarray(lacking - difference.mean(axis=1))
