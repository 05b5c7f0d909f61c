"""Moments of weighted values in blocks."""

import numpy as np
import pytest
import torch

from lfi_mflow.training.moments import mean_and_spread, moments


@pytest.fixture
def sample():
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.normal(1e6, 2.0, (300, 2))), torch.from_numpy(rng.random(300) ** 3)


def test_blocks_are_merged_exactly(sample):
    x, weight = sample
    mean, covariance = moments(zip(x.split(77), weight.split(77), strict=True))
    expected = np.cov(x.numpy().T, aweights=weight.numpy())  # the same correction of the mean
    np.testing.assert_allclose(mean, np.average(x, axis=0, weights=weight), rtol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=1e-8)


def test_equal_weights_are_none(sample):
    x = sample[0]
    plain, equal = (moments([(x, weight)]) for weight in (None, torch.full((300,), 0.3).double()))
    for one, two in zip(plain, equal, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=0.0)


def test_the_scale_of_weights_drops_out(sample):
    x, weight = sample
    one, two = moments([(x, weight)]), moments([(x, 1e9 * weight)])
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_events_and_blocks_without_weight_do_not_count(sample):
    x, weight = sample
    wild = torch.full((9, 2), 1e30).double()
    blocks = [(wild, torch.zeros(9).double()), (x, weight), (wild, torch.zeros(9).double())]
    torch.testing.assert_close(moments(blocks), moments([(x, weight)]))


def test_a_column_that_never_changes_has_the_scale_one():
    values = torch.stack([torch.arange(4.0), torch.full((4,), 3.0)], dim=1).double()
    mean, spread = mean_and_spread([(values, torch.ones(4).double())])
    assert mean.tolist() == [1.5, 3.0]
    assert spread.tolist() == [pytest.approx(np.arange(4.0).std(ddof=1)), 1.0]
