import copy

import numpy as np
import pytest
import torch

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.inference.processes import (
    Process,
    ProcessLikelihood,
    mixture_events,
    require_one_chart,
    total_rate,
)


def signal_rate(theta):
    return 10.0 + 5.0 * theta[..., 0].double()


def background_rate(theta):
    return torch.full(theta.shape[:-1], 20.0, dtype=torch.float64)


@pytest.fixture
def processes(make_model):
    """A signal that depends on theta and a background that does not, on one chart."""
    signal = make_model().flow.double()
    background = copy.deepcopy(signal)
    with torch.no_grad():
        for weight in background.latent.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return [
        Process("signal", signal, signal_rate, (0,)),
        Process("background", background, background_rate, (1,)),
    ]


def test_it_is_the_mean_density_weighted_by_the_rates(processes):
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    theta = torch.rand(2, 4, 2, dtype=torch.float64)
    found = ProcessLikelihood(processes, x, max_elements=7)(theta)
    exact = torch.zeros(2, 4, dtype=torch.float64)
    for row, (points, events) in enumerate(zip(theta, x, strict=True)):
        pairs = events.repeat(4, 1), points.repeat_interleave(6, dim=0)
        mu = torch.stack([process.rate(pairs[1]) for process in processes])
        with torch.no_grad():
            densities = torch.stack(
                [p.flow.log_prob(pairs[0], pairs[1][:, list(p.columns)]) for p in processes]
            ).exp()
        exact[row] = ((mu * densities).sum(0) / mu.sum(0)).log().reshape(4, 6).sum(dim=1)
    torch.testing.assert_close(found, exact)
    single = ProcessLikelihood(processes, x[1])
    torch.testing.assert_close(single(theta[1]), found[1])


def test_it_is_differentiable(processes):
    likelihood = ProcessLikelihood(processes, torch.randn(6, 3, dtype=torch.float64))
    theta = torch.tensor([0.2, 0.4], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(likelihood(theta), theta)
    step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    with torch.no_grad():
        difference = likelihood(theta + step) - likelihood(theta - step)
    assert slope[0].item() == pytest.approx(difference.item() / 2e-5, rel=1e-4)


def test_events_come_from_each_process_by_its_share(processes):
    theta = np.tile([[0.5, 0.5]], (3000, 1))
    x, weight = mixture_events(processes)(theta, 5)
    assert x.shape == (3000, 3)
    assert weight is None
    one = mixture_events([processes[0], Process("none", processes[1].flow, zero, (1,))])
    pure, _ = one(theta, 5)
    assert np.isfinite(pure).all()
    share = 20.0 / 32.5
    means = [mixture_events([process])(theta, 5)[0].mean(axis=0) for process in processes]
    expected = (1 - share) * means[0] + share * means[1]
    np.testing.assert_allclose(x.mean(axis=0), expected, atol=5 * x.std(axis=0).max() / 3000**0.5)
    assert total_rate(processes)(torch.tensor([0.5, 0.5])).item() == pytest.approx(32.5)


def zero(theta):
    return torch.zeros(theta.shape[:-1], dtype=torch.float64)


@pytest.mark.parametrize("part", ["chart", "standardisation"])
def test_processes_on_other_charts_are_refused(processes, part):
    other = getattr(processes[1].flow, part)
    values = list(other.state_dict().values())[-1]
    values.add_(1e-6)
    with pytest.raises(
        ModelMismatchError, match=r"background on the chart of signal, .* --chart-of"
    ):
        require_one_chart(processes)
    with pytest.raises(ModelMismatchError):
        ProcessLikelihood(processes, torch.randn(6, 3, dtype=torch.float64))


def test_wrong_shapes_are_refused(processes):
    with pytest.raises(InputError, match="events of shape"):
        ProcessLikelihood(processes, torch.zeros(6, 4, dtype=torch.float64))
