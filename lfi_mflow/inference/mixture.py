r"""Several surrogates of one simulator as one likelihood.

Surrogates that differ by the seed of their training differ in what they say of an event.
Their mixture

.. math:: \bar p(x | \theta) = \frac{1}{K} \sum_k p_k(x | \theta)

is a density of events as each of them is, normalised for every theta, and never further
from the truth than they are on average. It is taken event by event: the log-mean-exp of
the likelihoods of whole sets would be that of the one member that suits the set best.
The mean of the log-likelihoods is no density of anything.

Densities on manifolds count per n-dimensional volume. The members have learnt one
manifold, each with its own small errors; as far as they agree on it, their densities
refer to one measure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.blocks import Block
from lfi_mflow.inference.likelihood import EventSetLikelihood, sum_events

__all__ = ["MixtureLikelihood"]


class MixtureLikelihood(EventSetLikelihood):
    """Log-likelihood of events under the mixture of K surrogates.

    Arguments:
        members: The likelihoods of the same events under each surrogate.

    Attributes:
        encoded: What the chart of the first member says of the events.

    Raises:
        ConfigError: If there is no member, or they are of different events.
    """

    def __init__(self, members: Sequence[EventSetLikelihood]) -> None:
        layouts = {replace(member.layout, max_elements=0) for member in members}
        if len(layouts) != 1:
            raise ConfigError(
                "at least one member, all of the same events and parameters",
                f"{len(members)} of {len(layouts)} kinds",
                "make them of the same x",
            )
        self.members = tuple(members)
        self._share(members[0])

    def previews(self) -> list[EventSetLikelihood]:
        """Mixtures of the parts of the events; see :class:`EventSetLikelihood`."""
        parts = zip(*(member.previews() for member in self.members), strict=True)
        return [MixtureLikelihood(part) for part in parts]

    def _sum_of_terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        terms = [member.full_terms(block, theta) for member in self.members]
        mixed = torch.logsumexp(torch.stack(terms), dim=0) - math.log(len(terms))
        return sum_events(mixed)
