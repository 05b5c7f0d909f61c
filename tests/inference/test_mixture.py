import math

import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference import EventSetLikelihood, MixtureLikelihood


def shifted(kind, shift):
    """The conjugate flow for x - shift."""

    class ShiftedFlow(kind):
        def log_prob_latent(self, u, theta):
            return super().log_prob_latent(u - shift * self.scale, theta)

    return ShiftedFlow(2).double()


def test_it_is_the_log_mean_exp_of_each_event(gaussian_flow):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 40, 2, generator=generator, dtype=torch.float64)
    theta = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    flows = [shifted(gaussian_flow, shift) for shift in (0.0, 0.4, -0.3)]
    members = [EventSetLikelihood(flow, x, max_elements=60) for flow in flows]
    value = MixtureLikelihood(members)(theta)
    for row in range(3):
        for point in range(5):
            repeated = theta[row, point].expand(40, 2)
            each = torch.stack([flow.log_prob(x[row], repeated) for flow in flows])
            expected = (torch.logsumexp(each, 0) - math.log(3)).sum()
            torch.testing.assert_close(value[row, point], expected.detach())


def test_equal_members_are_one(gaussian_flow):
    x = torch.randn(40, 1, dtype=torch.float64)
    member = EventSetLikelihood(gaussian_flow(1).double(), x)
    theta = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(MixtureLikelihood([member, member])(theta), member(theta))


def test_parts_are_mixtures_too(gaussian_flow):
    x = torch.randn(9_000, 1)
    members = [EventSetLikelihood(gaussian_flow(1), x) for _ in range(2)]
    (part,) = MixtureLikelihood(members).previews()
    torch.testing.assert_close(part(torch.zeros(1)), members[0].previews()[0](torch.zeros(1)))


def test_members_of_different_events_are_refused(gaussian_flow):
    members = [EventSetLikelihood(gaussian_flow(1), torch.randn(size, 1)) for size in (3, 4)]
    with pytest.raises(ConfigError, match="all of the same events"):
        MixtureLikelihood(members)
