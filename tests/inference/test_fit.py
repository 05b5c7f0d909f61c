import numpy as np
import pytest
import torch

from lfi_mflow.errors import InputError
from lfi_mflow.inference.experiment import DataSet
from lfi_mflow.inference.fit import maximise

pytest.importorskip("iminuit")


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(0.4, 1.0, (25, 1))


def test_the_fit_of_a_normal_mean_is_exact(counting, x):
    experiment = counting()  # a rate without theta tells nothing
    best = maximise(experiment.log_likelihood(DataSet(x)), experiment.low, experiment.high)
    assert best.valid
    assert best.theta == pytest.approx([x.mean()], abs=1e-4)
    assert best.covariance[0, 0] == pytest.approx(1 / 25, rel=1e-3)
    assert best.at_limit == (False,)
    for level, pulls in ((0.6827, 1.0), (0.95, 1.95996)):
        interval = best.minos(0, level)
        assert interval.low == pytest.approx(x.mean() - pulls / 5, abs=2e-3)
        assert interval.high == pytest.approx(x.mean() + pulls / 5, abs=2e-3)


@pytest.mark.parametrize("with_gradient", [True, False])
def test_the_higher_of_two_maxima_is_found(with_gradient):
    def density(theta):
        theta = theta if with_gradient else theta.detach()
        a = torch.log(0.4 * torch.exp(-0.5 * ((theta[..., 0] - 2.0) / 0.1) ** 2) + 1e-30)
        b = torch.log(0.5 * torch.exp(-0.5 * ((theta[..., 0] + 1.5) / 0.1) ** 2) + 1e-30)
        return torch.logaddexp(a, b) - 0.5 * theta[..., 1] ** 2

    best = maximise(density, np.full(2, -3.0), np.full(2, 3.0))
    assert best.theta == pytest.approx([-1.5, 0.0], abs=1e-2)
    assert best.log_likelihood == pytest.approx(np.log(0.5), abs=1e-4)


def test_a_gradient_that_misses_a_part_is_not_used():
    def density(theta):
        known = -0.5 * (theta[..., 0] - 1.0) ** 2
        return known - 2.0 * (theta.detach()[..., 0] + 1.0) ** 2

    best = maximise(density, np.full(1, -3.0), np.full(1, 3.0))
    assert best.theta == pytest.approx([-0.6], abs=1e-3)


def test_a_maximum_at_the_end_of_the_range_has_no_minos_interval():
    best = maximise(lambda theta: 2.0 * theta[..., 0].double(), np.zeros(1), np.ones(1))
    assert best.at_limit == (True,)
    assert best.theta == pytest.approx([1.0], abs=1e-4)
    assert best.minos(0, 0.68).low is None


def test_an_interval_that_leaves_the_range_has_one_end():
    best = maximise(
        lambda theta: -0.5 * ((theta[..., 0] - 0.8) / 0.5) ** 2, np.full(1, -3.0), np.ones(1)
    )
    found = best.minos(0, 0.95)
    assert found.high is None
    assert found.low == pytest.approx(0.8 - 1.96 * 0.5, abs=1e-2)


def test_a_likelihood_of_zero_is_refused():
    with pytest.raises(InputError, match="a likelihood above zero"):
        maximise(lambda theta: -torch.inf * theta[..., 0].abs(), np.full(1, -1.0), np.ones(1))
