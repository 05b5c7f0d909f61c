"""The observable that is broken is named, and nothing is named where nothing can be told."""

import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError
from lfi_mflow.inference.residuals import (
    residual_ratios,
    standardised_residuals,
    suspect_observable,
    wide_observables,
)

NAMES = tuple("abcdef")


class Subspace(torch.nn.Module):
    """The flow of an n-dimensional linear subspace of R^d: its projection is exact."""

    def __init__(self, n, d):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        basis = torch.linalg.qr(torch.randn(d, n, generator=generator, dtype=torch.float64))[0]
        self.projector = torch.nn.Parameter(basis @ basis.T)

    def project(self, x, theta=None):
        return x @ self.projector


def events(flow, n, seed=0):
    """Events near the subspace, with noise of another size in each observable."""
    rng = np.random.default_rng(seed)
    d = len(flow.projector)
    x = torch.as_tensor(rng.normal(size=(n, d)))
    with torch.no_grad():
        signal = flow.project(3 * x).numpy()
    return signal + 0.01 * (1 + np.arange(d)) * rng.standard_t(4, size=(n, d))


@pytest.fixture(scope="module")
def flow():
    return Subspace(2, 6)


@pytest.fixture(scope="module")
def widths(flow):
    x = events(flow, 50_000, seed=1)
    with torch.no_grad():
        residual = x - flow.project(torch.as_tensor(x)).numpy()
    return np.quantile(np.abs(residual), 0.6827, axis=0)


def test_residuals_are_in_widths_of_the_validation_events(flow, widths):
    x = events(flow, 20_000)
    z = standardised_residuals(flow, x, widths)
    with torch.no_grad():
        expected = (x - flow.project(torch.as_tensor(x)).numpy()) / widths
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(residual_ratios(z), 1.0, rtol=0.04)


@pytest.mark.statistical
def test_events_of_the_simulator_give_few_false_alarms(flow, widths):
    alarms = [
        len(wide_observables(standardised_residuals(flow, events(flow, n, seed), widths))) > 0
        for seed in range(100)
        for n in (5, 20, 200)
    ]
    assert np.mean(alarms) <= 0.01


@pytest.mark.parametrize("k", range(6))
@pytest.mark.parametrize("broken", ["dead", "shifted"])
def test_a_broken_channel_is_named(flow, widths, k, broken):
    x = events(flow, 200)
    x[:, k] = 0.0 if broken == "dead" else x[:, k] + 2.0
    wide = wide_observables(standardised_residuals(flow, x, widths))
    assert k in wide
    suspicion = suspect_observable(flow, x, widths, NAMES)
    assert suspicion.culprit == NAMES[k]
    assert suspicion.remaining[k] < 0.3
    assert np.delete(suspicion.remaining, k).min() > 0.5


def test_where_one_direction_is_missing_observables_cannot_be_told_apart():
    flow = Subspace(2, 3)
    x = events(flow, 50)
    x[:, 1] += 5.0
    suspicion = suspect_observable(flow, x, np.full(3, 0.01), NAMES[:3])
    assert len(suspicion.explanations) > 1
    assert suspicion.culprit is None


def test_events_from_elsewhere_have_no_culprit(flow, widths):
    x = np.random.default_rng(4).normal(size=(100, 6))
    suspicion = suspect_observable(flow, x, widths, NAMES)
    assert suspicion.explanations == ()
    assert suspicion.culprit is None


def test_an_exact_observable_is_not_judged_by_its_rounding(flow):
    with torch.no_grad():
        exact = flow.project(torch.as_tensor(events(flow, 100))).float()
    z = standardised_residuals(flow, exact.numpy(), np.zeros(6))
    assert np.abs(z).max() < 5.0


@pytest.mark.parametrize("bad", [[1.0] * 5, [1.0] * 5 + [np.nan], [-1.0] * 6])
def test_useless_widths_are_refused(flow, bad):
    with pytest.raises(DataError, match="6 widths of residuals"):
        standardised_residuals(flow, np.zeros((3, 6)), bad)
