r"""Classifier two-sample test: can a network tell two posteriors apart?

Its accuracy on samples that it was not trained on is 1/2 if the posteriors are
the same and 1 if they do not overlap. Network, scaling and cross-validation are
those of the sbibm benchmark, so that values can be compared with published ones.

References:
    Revisiting classifier two-sample tests (Lopez-Paz & Oquab, 2017),
    https://arxiv.org/abs/1610.06545
    Benchmarking simulation-based inference (Lueckmann et al., 2021),
    https://arxiv.org/abs/2101.04653, appendix M
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier

from lfi_mflow.closure.published import Array, Estimate
from lfi_mflow.errors import DataError

__all__ = ["c2st"]

_FOLDS = 5
_UNITS = 10  # per dimension, in each of the two hidden layers
_EPOCHS = 1_000
_SPREAD = 1.2  # of the accuracy, measured in units of the binomial error: folds share samples


def c2st(model: Array, exact: Array, seed: int) -> Estimate:
    """Cross-validated accuracy of a classifier between two sets of posterior samples.

    Arguments:
        model: Samples of the model's posterior, with shape (N, p).
        exact: As many samples of the exact posterior, with shape (N, p); their mean
            and standard deviation scale both.
        seed: Seed of the network and of the folds.

    Returns:
        The accuracy and its standard error where the posteriors are the same.

    Raises:
        DataError: If the two sets differ in shape, or hold fewer than 5 samples.
    """
    if model.shape != exact.shape or model.ndim != 2 or len(model) < _FOLDS:
        raise DataError(
            f"two sets of {_FOLDS} or more samples of the same shape (N, p)",
            f"shapes {model.shape} and {exact.shape}",
            "give as many samples of each",
        )
    spread = exact.std(axis=0)
    samples = (np.concatenate([model, exact]) - exact.mean(axis=0)) / np.where(spread, spread, 1.0)
    labels = np.repeat([0, 1], len(model))
    units = _UNITS * samples.shape[1]
    network = MLPClassifier((units, units), max_iter=_EPOCHS, random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A network that is still improving after a thousand epochs is good enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = cross_val_predict(network, samples, labels, cv=folds)
    accuracy = float(np.mean(predicted == labels))
    return Estimate(accuracy, _SPREAD * float(np.sqrt(0.25 / len(labels))))
