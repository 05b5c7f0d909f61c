r"""Losses of ratio estimators: classify, or learn from what the simulator knows.

**NRE-A, NRE-C, BNRE** need events (x, theta) alone. The pairs of a batch are events of
p(x | theta) p(theta); the same x with the theta of other rows are events of p(x) p(theta).
Who tells the two apart knows r(x | theta) = p(x | theta) / p(x). Of weighted events the
other theta are drawn in proportion to the weights, as the x are weighted.

**ALICE, ALICES** also use the joint log-ratio of each event with its hidden history z,
log r(x, z) = log p(x, z | theta) / p(x, z | theta_0), that the simulator stores. Its loss is
the cross-entropy with the joint probability s(x, z) = r / (1 + r) for a label, over events
of theta and of theta_0 in equal parts. A file holds events at their own theta, and r makes
events of theta_0 of them, each with the weight 1 / r, so that

.. math:: L = \frac{1 + 1/r(x, z)}{2} \left[ -s \log \hat s - (1 - s) \log(1 - \hat s) \right]
    = \frac12 \left[ \log(1 + e^{-t}) + \frac{1}{r(x, z)} \log(1 + e^{t}) \right],
    \quad t = \log \hat r(x | \theta)

which is smallest where 1 / r is averaged over z, at t = log p(x | theta) / p(x | theta_0).
The average has to exist with a small variance: events of theta must be found wherever
those of theta_0 are. Choose for theta_0 a point whose events spread least.

References:
    | Likelihood-free MCMC with amortized approximate ratio estimators
    | (Hermans et al., 2020), https://arxiv.org/abs/1903.04057, for NRE-A
    | Contrastive neural ratio estimation (Miller et al., 2022)
    | https://arxiv.org/abs/2210.06170, for NRE-C
    | Towards reliable simulation-based inference with balanced neural ratio estimation
    | (Delaunoy et al., 2022), https://arxiv.org/abs/2208.13624, for BNRE
    | Likelihood-free inference with an improved cross-entropy estimator
    | (Stoye et al., 2018), https://arxiv.org/abs/1808.00973, for ALICE and ALICES
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.flows import Denominator, Flow, RatioEstimator
from lfi_mflow.training.events import Batch
from lfi_mflow.training.objective import Objective, check_positive, value_and_score

__all__ = [
    "Alice",
    "Alices",
    "BalancedNre",
    "Choice",
    "NreA",
    "NreC",
    "other_rows",
]

_LEAST_SHARE = 0.01  # of the events, that count as events of the reference


@dataclass(frozen=True)
class _Ratio(Objective, ABC):
    """A loss of a ratio estimator.

    Attributes:
        denominator: The denominator of the ratio that it teaches.
    """

    part = "all"
    denominator: ClassVar[Denominator]

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Whitened events: (B, d) -> (B, d)."""
        return self._estimator(flow).standardise_events(x)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of parameters."""
        self._estimator(flow).standardise_theta(batch.theta)

    def _estimator(self, flow: Flow) -> RatioEstimator:
        """Return the flow if it is an estimator of such a ratio, and fail otherwise."""
        if not isinstance(flow, RatioEstimator):
            raise ConfigError(
                "a ratio estimator", type(flow).__name__, "choose a model that is one, as nre-c"
            )
        if flow.denominator != self.denominator:
            raise ConfigError(
                f"an estimator of the ratio to the {self.denominator} density",
                f"one to the {flow.denominator} density",
                "choose a model that goes with the objective: alice or alices with joint "
                "log-ratios, nre-a, nre-c or bnre without",
            )
        return flow


@dataclass(frozen=True)
class _Contrastive(_Ratio, ABC):
    """A loss that compares the theta of an event with those of other events."""

    denominator = "marginal"
    least_batch = 2

    @property
    @abstractmethod
    def contrasts(self) -> int:
        """Number K of other theta for each event."""

    @abstractmethod
    def criterion(self, joint: Tensor, marginal: Tensor, weight: Tensor | None) -> Tensor:
        """Loss of each event, with shape (B,).

        Arguments:
            joint: Log-ratios of events at their own theta, with shape (B,).
            marginal: Log-ratios at other theta, with shape (B, K).
            weight: Weights of the events, with shape (B,), or None.
        """

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Loss of each event with random other theta, with shape (B,)."""
        rows = other_rows(len(batch.theta), self.contrasts, generator, batch.weight)
        theta = torch.cat([batch.theta[:, None], batch.theta[rows.to(batch.theta.device)]], dim=1)
        estimator = self._estimator(flow)
        log_ratio = estimator.log_ratio_standardised(batch.prepared[:, None], theta)
        return self.criterion(log_ratio[:, 0], log_ratio[:, 1:], batch.weight)


@dataclass(frozen=True)
class NreA(_Contrastive):
    r"""Binary cross-entropy of joint and marginal pairs (Hermans et al. 2020).

    .. math:: -\frac12 \left[ \log \sigma(t(x, \theta)) + \log \sigma(-t(x, \theta')) \right]
    """

    @property
    def contrasts(self) -> int:
        """One other theta for each event."""
        return 1

    def criterion(self, joint: Tensor, marginal: Tensor, weight: Tensor | None) -> Tensor:
        """Cross-entropy of each event: (B,), (B, 1) -> (B,)."""
        return 0.5 * (F.softplus(-joint) + F.softplus(marginal[:, 0]))


@dataclass(frozen=True)
class BalancedNre(NreA):
    r"""NRE-A with a term that keeps the classifier balanced (Delaunoy et al. 2022).

    .. math:: + \lambda \left( \mathrm{E}[\sigma(t(x, \theta))]
        + \mathrm{E}[\sigma(t(x, \theta'))] - 1 \right)^2

    The best classifier is balanced, and a balanced one is on average less certain than
    the best: posteriors tend to be too wide rather than too narrow.

    Arguments:
        strength: Weight lambda of the term.
    """

    strength: float = 100.0

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("strength", self.strength)

    def criterion(self, joint: Tensor, marginal: Tensor, weight: Tensor | None) -> Tensor:
        """Cross-entropy of each event and the imbalance of the batch: (B,), (B, 1) -> (B,)."""
        balance = joint.sigmoid() + marginal[:, 0].sigmoid()
        mean = balance.mean() if weight is None else (balance * weight).sum() / weight.sum()
        return super().criterion(joint, marginal, weight) + self.strength * (mean - 1).square()


@dataclass(frozen=True)
class Choice:
    """Settings of the choice among K theta or none, and its cross-entropy.

    Arguments:
        classes: Number K of theta to choose from.
        gamma: Odds that one of them did make it.

    Raises:
        ConfigError: If K is smaller than one, or gamma not positive.
    """

    classes: int = 5
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.classes < 1:
            raise ConfigError("classes >= 1", str(self.classes), "raise it")
        check_positive("gamma", self.gamma)

    def cross_entropy(self, made: Tensor, not_made: Tensor) -> Tensor:
        """Loss of each row, with shape (B,).

        Arguments:
            made: Log-ratios of events at their own theta, the first, and K - 1 others: (B, K).
            not_made: Log-ratios of events of the denominator at K theta: (B, K).
        """
        log_gamma, log_classes = math.log(self.gamma), math.log(self.classes)
        none = made.new_full((len(made), 1), log_classes)
        any_made, any_not = (
            torch.cat([log_gamma + log_ratio, none], dim=-1).logsumexp(dim=-1)
            for log_ratio in (made, not_made)
        )
        odds = self.gamma / (1 + self.gamma)
        own = log_gamma + made[:, 0]
        return (1 - odds) * (any_not - log_classes) + odds * (any_made - own)


@dataclass(frozen=True)
class NreC(Choice, _Contrastive):
    r"""Which of K theta made the event, or none of them? (Miller et al. 2022).

    .. math:: -\frac{1}{1 + \gamma} \log \frac{K}{K + \gamma \sum_k r(x | \theta'_k)}
        - \frac{\gamma}{1 + \gamma} \log
        \frac{\gamma\, r(x | \theta)}{K + \gamma\, r(x | \theta)
        + \gamma \sum_{k < K} r(x | \theta'_k)}

    Each event is compared with more than one other theta, which makes more of it. That
    none of them may have made it fixes the factor that depends on x, which
    multi-class estimators (NRE-B) leave open.

    Arguments:
        classes: Number K of theta to choose from.
        gamma: Odds that one of them did make it.

    Raises:
        ConfigError: If K is smaller than one, or gamma not positive.
    """

    @property
    def contrasts(self) -> int:
        """As many other theta as classes."""
        return self.classes

    def criterion(self, joint: Tensor, marginal: Tensor, weight: Tensor | None) -> Tensor:
        """Cross-entropy of each event: (B,), (B, K) -> (B,)."""
        among = torch.cat([joint[:, None], marginal[:, :-1]], dim=-1)
        return self.cross_entropy(among, marginal)


@dataclass(frozen=True)
class Alice(_Ratio):
    """Cross-entropy with the joint probability of the simulator (Stoye et al. 2018)."""

    denominator = "reference"
    needs_log_ratio = True

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of parameters, and see that there are events of the reference.

        Raises:
            DataError: If a few of the events have to stand for most of them.
        """
        super().begin(flow, batch)
        if batch.log_ratio is None:
            return
        log_weight = -batch.log_ratio.double()
        if batch.weight is not None:
            log_weight = log_weight + batch.weight.double().log()
        total, squares = (power * log_weight for power in (1, 2))
        log_size = 2 * total.logsumexp(dim=0) - squares.logsumexp(dim=0)
        share = log_size.exp().item() / len(log_weight)
        if share < _LEAST_SHARE:
            raise DataError(
                "joint ratios to a reference whose events are among those of all theta (an "
                f"effective sample size of at least {_LEAST_SHARE:.0%})",
                f"one of {share:.2%}",
                "simulate with another reference, at which events spread least",
            )

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy of each event, with shape (B,)."""
        log_ratio = self._estimator(flow).log_ratio_standardised(batch.prepared, batch.theta)
        return self.criterion(log_ratio, batch)

    def criterion(self, log_ratio: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of log-ratios with shape (B,).

        Raises:
            ConfigError: If the events have no joint log-ratio.
        """
        if batch.log_ratio is None:
            raise ConfigError("events with a joint log-ratio", "none", "simulate them with one")
        reference = F.softplus(log_ratio) * (-batch.log_ratio).exp()
        return 0.5 * (F.softplus(-log_ratio) + reference)


@dataclass(frozen=True)
class Alices(Alice):
    r"""ALICE with the joint score as a second teacher (Stoye et al. 2018).

    .. math:: + \alpha \| \nabla_\theta \log \hat r(x | \theta) - t(x, z) \|^2

    Arguments:
        alpha: Weight of the score.
    """

    alpha: float = 1.0
    needs_score = True
    compiles = False

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("alpha", self.alpha)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy and squared error of the score, with shape (B,)."""
        if batch.score is None:
            raise ConfigError("events with a joint score", "none", "simulate them with one")
        estimator = self._estimator(flow)
        log_ratio, score = value_and_score(
            lambda theta: estimator.log_ratio_standardised(batch.prepared, theta), batch.theta
        )
        penalty = self.alpha * (score - batch.score).square().sum(dim=-1)
        return self.criterion(log_ratio, batch) + penalty


def other_rows(
    rows: int, contrasts: int, generator: torch.Generator, weight: Tensor | None = None
) -> Tensor:
    """Draw other rows for each row, in proportion to the weights: -> (rows, contrasts).

    A row is its own only where there is no other.
    """
    own = torch.arange(rows)[:, None]
    shape = (rows, contrasts)
    if weight is None:
        return (own + torch.randint(1, max(rows, 2), shape, generator=generator)) % rows
    mass = weight.detach().cpu().double()[:, None]
    edges = mass.cumsum(dim=0)
    # A point on the line of all weights without the piece of the row itself.
    point = torch.rand(shape, generator=generator, dtype=torch.float64) * (edges[-1] - mass)
    point += torch.where(point >= edges - mass, mass, 0.0)
    return torch.searchsorted(edges[:, 0], point, right=True).clamp_max(rows - 1)
