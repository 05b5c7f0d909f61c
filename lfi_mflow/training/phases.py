"""Phases: training algorithms as data.

A phase says which objective to minimise, for how long and how fast. Algorithms
are tuples of phases: sequential M/D training is a manifold phase and a density
phase, and nothing in the loop knows its name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lfi_mflow.config import from_table
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.training.objective import Objective
from lfi_mflow.training.objectives import OBJECTIVES
from lfi_mflow.training.optimisers import OPTIMISERS

__all__ = [
    "ALGORITHMS",
    "Phase",
    "adversarial",
    "alice",
    "alices",
    "alternating",
    "atlas",
    "atlas_charts",
    "atlas_scandal",
    "bnre",
    "chart",
    "density",
    "density_scandal",
    "elbo",
    "free_form",
    "learning_rate_factor",
    "nae",
    "nre_a",
    "nre_c",
    "penalised",
    "rectangular",
    "scandal",
    "sequential",
    "simultaneous",
    "tilted",
    "tilted_scandal",
    "transport",
    "transport_alternating",
]

CHART_RATE, LATENT_RATE, ALL_RATE, ADVERSARIAL_RATE = 2e-2, 5e-3, 2e-3, 1e-3
RATIO_RATE, ATLAS_RATE = 1e-2, 1e-2


@dataclass(frozen=True)
class Phase:
    """One stretch of optimisation.

    Arguments:
        name: Name for logs and figures.
        objective: What to minimise, a key of ``OBJECTIVES``.
        epochs: Number of passes over the training events.
        batch_size: Events per step.
        learning_rate: Peak learning rate; it rises over the first ``warm_up``
            of the steps and falls to zero along a cosine.
        warm_up: Fraction of the steps that warm up.
        weight_decay: Decoupled weight decay.
        momentum: Decay of the running mean of the gradients (beta_1), 0.9 for AdamW and
            0.95 for SOAP by default; games need little.
        clip: Largest norm of the gradient.
        patience: Stop after so many epochs without a better validation loss;
            0 means never. The best weights are restored either way.
        optimiser: A key of ``OPTIMISERS``; ``soap`` fits a chart more accurately.
        compiles: Whether its loss is compiled first, which takes minutes; not every objective
            can be, see :mod:`lfi_mflow.training.compilation`.
        settings: Settings of the objective, such as the ``beta`` of
            ``penalised-likelihood``.
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
    momentum: float | None = None
    optimiser: str = "adamw"
    compiles: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values."""
        _check_known("objective", self.objective, OBJECTIVES)
        _check_known("optimiser", self.optimiser, OPTIMISERS)
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
        fractions = 0 <= self.warm_up < 1 and 0 <= (self.momentum or 0.0) < 1
        if not (fractions and 0 <= self.weight_decay < math.inf and self.patience >= 0):
            raise ConfigError(
                "warm_up and momentum from 0 to 1, weight_decay and patience >= 0 in phase "
                f"{self.name!r}",
                f"{self.warm_up}, {self.momentum}, {self.weight_decay} and {self.patience}",
                "correct them",
            )
        least = self.minimises.least_batch
        if self.batch_size < least:
            raise ConfigError(
                f"batch_size >= {least} in phase {self.name!r}, with the objective "
                f"{self.objective!r}",
                str(self.batch_size),
                "raise it",
            )
        if self.compiles and not self.minimises.compiles:
            raise ConfigError(
                f"an objective that can be compiled in phase {self.name!r}",
                self.objective,
                "leave compiles out",
            )

    @property
    def minimises(self) -> Objective:
        """The objective with its settings."""
        where = f"the settings of objective {self.objective!r} in phase {self.name!r}"
        return from_table(OBJECTIVES[self.objective], self.settings, where)


def _check_known(what: str, name: str, known: Mapping[str, Any]) -> None:
    """Fail if there is nothing of that name."""
    if name not in known:
        raise UnknownNameError(what, name, known)


def sequential(
    chart_epochs: int = 20, latent_epochs: int = 15, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return sequential M/D training (Brehmer and Cranmer 2020): manifold first, then density."""
    return (
        Phase("chart", "reconstruction", chart_epochs, batch_size, CHART_RATE),
        Phase("latent", "latent-likelihood", latent_epochs, batch_size, LATENT_RATE),
    )


def chart(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return the manifold phase alone: projections and distances without a density."""
    return sequential(epochs, batch_size=batch_size)[:1]


def density(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return the density phase alone, for flows without a chart to learn."""
    return (Phase("latent", "latent-likelihood", epochs, batch_size, LATENT_RATE),)


def scandal(
    chart_epochs: int = 20, latent_epochs: int = 15, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return sequential training with the simulator's joint score in the density phase."""
    manifold, density = sequential(chart_epochs, latent_epochs, batch_size)
    return manifold, dataclasses.replace(density, objective="scandal")


def density_scandal(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return the density phase with the simulator's joint score, for flows without a chart."""
    return (Phase("latent", "scandal", epochs, batch_size, LATENT_RATE),)


def alternating(
    rounds: int = 5, chart_epochs: int = 4, latent_epochs: int = 3, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return alternating M/D training (Brehmer and Cranmer 2020): rounds of both phases.

    Raises:
        ConfigError: If there are no rounds.
    """
    return _rounds(rounds, sequential(chart_epochs, latent_epochs, batch_size))


def transport_alternating(
    rounds: int = 4, transport_epochs: int = 2, latent_epochs: int = 3, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return rounds of optimal transport and of the density phase (Brehmer and Cranmer 2020).

    Raises:
        ConfigError: If there are no rounds.
    """
    density_phase = sequential(latent_epochs=latent_epochs, batch_size=batch_size)[1]
    return _rounds(rounds, (*transport(transport_epochs, batch_size), density_phase))


def _rounds(rounds: int, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """Repeat phases.

    The peak learning rates fall from round to round along a cosine: later rounds
    refine what earlier ones found.
    """
    if rounds < 1:
        raise ConfigError("at least one round", str(rounds), "raise it")
    return tuple(
        dataclasses.replace(
            phase,
            name=f"{phase.name} {index + 1}",
            learning_rate=phase.learning_rate * learning_rate_factor(index / rounds, warm_up=0.0),
        )
        for index in range(rounds)
        for phase in phases
    )


def simultaneous(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return maximum likelihood of all parts at once; unstable for a learned manifold."""
    return (Phase("all", "likelihood", epochs, batch_size, ALL_RATE),)


def penalised(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of all parts at once, by likelihood and distance to the data."""
    return (Phase("all", "penalised-likelihood", epochs, batch_size, ALL_RATE),)


def free_form(epochs: int = 30, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return joint training of two free networks and the density between them."""
    return (Phase("all", "free-form", epochs, batch_size, ALL_RATE),)


def nae(epochs: int = 30, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return joint training as :func:`free_form`, with the surrogate that suits each event."""
    return (Phase("all", "nae", epochs, batch_size, ALL_RATE),)


def rectangular(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training as :func:`penalised`, with an estimate of the gradient of the volume."""
    return (Phase("all", "rectangular", epochs, batch_size, ALL_RATE),)


def transport(epochs: int = 8, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of all parts at once by optimal transport."""
    return (Phase("transport", "transport", epochs, batch_size, ALL_RATE),)


def atlas(
    quantiser_epochs: int = 5,
    chart_epochs: int = 20,
    latent_epochs: int = 15,
    batch_size: int = 500,
) -> tuple[Phase, ...]:
    """Return training of an atlas: where its charts lie, what they cover, then the density."""
    return (
        Phase("quantiser", "vector-quantisation", quantiser_epochs, batch_size, ALL_RATE),
        Phase("chart", "membership", chart_epochs, batch_size, ATLAS_RATE),
        Phase("latent", "latent-likelihood", latent_epochs, batch_size, LATENT_RATE),
    )


def atlas_charts(
    quantiser_epochs: int = 5, chart_epochs: int = 20, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return the manifold phases of an atlas alone."""
    return atlas(quantiser_epochs, chart_epochs, batch_size=batch_size)[:2]


def atlas_scandal(
    quantiser_epochs: int = 5,
    chart_epochs: int = 20,
    latent_epochs: int = 15,
    batch_size: int = 500,
) -> tuple[Phase, ...]:
    """Return training of an atlas with the simulator's joint score in the density phase."""
    *charts, density = atlas(quantiser_epochs, chart_epochs, latent_epochs, batch_size)
    return *charts, dataclasses.replace(density, objective="scandal")


def tilted(
    chart_epochs: int = 20, latent_epochs: int = 15, ratio_epochs: int = 10, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return sequential training, then that of the ratio that tilts the density."""
    ratio = Phase("ratio", "noise-contrast", ratio_epochs, batch_size, RATIO_RATE)
    return *sequential(chart_epochs, latent_epochs, batch_size), ratio


def tilted_scandal(
    chart_epochs: int = 20, latent_epochs: int = 15, ratio_epochs: int = 10, batch_size: int = 500
) -> tuple[Phase, ...]:
    """Return training as :func:`tilted`, with the simulator's joint score in the last phase."""
    *before, ratio = tilted(chart_epochs, latent_epochs, ratio_epochs, batch_size)
    return *before, dataclasses.replace(ratio, objective="noise-contrast-scandal")


def elbo(epochs: int = 30, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a variational autoencoder."""
    return (Phase("elbo", "elbo", epochs, batch_size, ALL_RATE),)


def adversarial(epochs: int = 30, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a generative adversarial network."""
    return (Phase("game", "adversarial", epochs, batch_size, ADVERSARIAL_RATE, momentum=0.0),)


def nre_a(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a ratio estimator by pairs of events and parameters."""
    return (Phase("ratio", "nre-a", epochs, batch_size, RATIO_RATE),)


def nre_c(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a ratio estimator by a choice among several parameters."""
    return (Phase("ratio", "nre-c", epochs, batch_size, RATIO_RATE),)


def bnre(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a balanced ratio estimator."""
    return (Phase("ratio", "bnre", epochs, batch_size, RATIO_RATE),)


def alice(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a ratio estimator by the simulator's joint ratios."""
    return (Phase("ratio", "alice", epochs, batch_size, RATIO_RATE),)


def alices(epochs: int = 20, batch_size: int = 500) -> tuple[Phase, ...]:
    """Return training of a ratio estimator by the simulator's joint ratios and scores."""
    return (Phase("ratio", "alices", epochs, batch_size, RATIO_RATE),)


ALGORITHMS: Mapping[str, Callable[[], tuple[Phase, ...]]] = {
    "sequential": sequential,
    "alternating": alternating,
    "simultaneous": simultaneous,
    "penalised": penalised,
    "density": density,
    "chart": chart,
    "scandal": scandal,
    "density-scandal": density_scandal,
    "transport": transport,
    "transport-alternating": transport_alternating,
    "tilted": tilted,
    "tilted-scandal": tilted_scandal,
    "elbo": elbo,
    "adversarial": adversarial,
    "free-form": free_form,
    "nae": nae,
    "rectangular": rectangular,
    "atlas": atlas,
    "atlas-charts": atlas_charts,
    "atlas-scandal": atlas_scandal,
    "nre-a": nre_a,
    "nre-c": nre_c,
    "bnre": bnre,
    "alice": alice,
    "alices": alices,
}
"""The training algorithms by the names they have in configuration files."""


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Fraction of the peak learning rate after a fraction ``progress`` of the steps."""
    rise = min(1.0, progress / warm_up) if warm_up else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * progress))
