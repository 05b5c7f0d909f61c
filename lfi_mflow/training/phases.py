"""Phases: training algorithms as data.

A phase says which objective to minimise, for how long and how fast. Algorithms
are tuples of phases: sequential M/D training is a manifold phase and a density
phase, and nothing in the loop knows its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.training.objectives import OBJECTIVES

__all__ = [
    "ALGORITHMS",
    "Phase",
    "alternating",
    "density",
    "learning_rate_factor",
    "penalised",
    "sequential",
    "simultaneous",
]

CHART_RATE, LATENT_RATE, ALL_RATE = 2e-2, 5e-3, 2e-3


@dataclass(frozen=True)
class Phase:
    """One stretch of optimisation with AdamW.

    Arguments:
        name: Name for logs and figures.
        objective: What to minimise, a key of ``OBJECTIVES``.
        epochs: Number of passes over the training events.
        batch_size: Events per step.
        learning_rate: Peak learning rate; it rises over the first ``warm_up``
            of the steps and falls to zero along a cosine.
        warm_up: Fraction of the steps that warm up.
        weight_decay: Decoupled weight decay.
        clip: Largest norm of the gradient.
        patience: Stop after so many epochs without a better validation loss;
            0 means never. The best weights are restored either way.
    """

    name: str
    objective: str
    epochs: int
    batch_size: int = 500
    learning_rate: float = 1e-3
    warm_up: float = 0.08
    weight_decay: float = 1e-4
    clip: float = 1.0
    patience: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.objective not in OBJECTIVES:
            raise UnknownNameError("objective", self.objective, OBJECTIVES)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} >= 1 in phase {self.name!r}", str(getattr(self, name)), "raise it"
                )
        for name in ("learning_rate", "clip"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(
                    f"{name} > 0 in phase {self.name!r}", str(getattr(self, name)), "raise it"
                )
        decays = 0 <= self.weight_decay < math.inf
        if not (0 <= self.warm_up < 1 and decays and self.patience >= 0):
            raise ConfigError(
                f"0 <= warm_up < 1, weight_decay >= 0 and patience >= 0 in phase {self.name!r}",
                f"{self.warm_up}, {self.weight_decay} and {self.patience}",
                "correct them",
            )


def sequential(
    chart_epochs: int = 20, latent_epochs: int = 15, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return sequential M/D training (Brehmer and Cranmer 2020): manifold first, then density."""
    return (
        Phase("chart", "reconstruction", chart_epochs, batch_size, CHART_RATE),
        Phase("latent", "latent-likelihood", latent_epochs, batch_size, LATENT_RATE),
    )


def density(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return the density phase alone, for flows without a chart to learn."""
    return (Phase("latent", "latent-likelihood", epochs, batch_size, LATENT_RATE),)


def alternating(
    rounds: int = 5, chart_epochs: int = 4, latent_epochs: int = 3, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return alternating M/D training (Brehmer and Cranmer 2020): rounds of both phases.

    The peak learning rates fall from round to round along a cosine: later rounds
    refine what earlier ones found.

    Raises:
        ConfigError: If there are no rounds.
    """
    if rounds < 1:
        raise ConfigError("at least one round", str(rounds), "raise it")
    phases: list[Phase] = []
    for index in range(rounds):
        factor = learning_rate_factor(index / rounds, warm_up=0.0)
        rates = CHART_RATE * factor, LATENT_RATE * factor
        phases += [
            Phase(f"chart {index + 1}", "reconstruction", chart_epochs, batch_size, rates[0]),
            Phase(f"latent {index + 1}", "latent-likelihood", latent_epochs, batch_size, rates[1]),
        ]
    return tuple(phases)


def simultaneous(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return maximum likelihood of all parts at once; unstable for a learned manifold."""
    return (Phase("all", "likelihood", epochs, batch_size, ALL_RATE),)


def penalised(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of all parts at once, by likelihood and distance to the data."""
    return (Phase("all", "penalised-likelihood", epochs, batch_size, ALL_RATE),)


ALGORITHMS: Mapping[str, Callable[[], tuple[Phase, ...]]] = {
    "sequential": sequential,
    "alternating": alternating,
    "simultaneous": simultaneous,
    "penalised": penalised,
    "density": density,
}
"""The training algorithms by the names they have in configuration files."""


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Fraction of the peak learning rate after a fraction ``progress`` of the steps."""
    rise = min(1.0, progress / warm_up) if warm_up else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * progress))
