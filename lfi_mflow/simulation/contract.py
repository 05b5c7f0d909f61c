"""What a simulator is.

A simulator turns parameters into events. It has a name, named parameters and
observables, and one method, :meth:`Simulator.simulate`. Whatever more it knows
(an exact likelihood, its manifold) it offers through one of the capability
protocols; nothing has to be inherited, and nothing here imports torch.

See Also:
    :func:`lfi_mflow.simulation.check_simulator` runs the conformance test on a
    simulator of your own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation.events import Events

__all__ = [
    "Array",
    "HasClosure",
    "HasJoint",
    "HasLikelihood",
    "HasLogRatio",
    "HasManifold",
    "HasMorphing",
    "HasRate",
    "HasTestPoints",
    "Observable",
    "Parameter",
    "Simulator",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a simulator.

    Arguments:
        name: Identifier, used in files, tables and on the command line.
        low: Smallest value the simulator accepts.
        high: Largest value the simulator accepts.
        unit: Unit, empty for a pure number.
        latex: Symbol for plots without dollar signs; the name if empty.
    """

    name: str
    low: float = -np.inf
    high: float = np.inf
    unit: str = ""
    latex: str = ""


@dataclass(frozen=True)
class Observable:
    """A feature of an event.

    Arguments:
        name: Identifier, used in files and tables.
        unit: Unit, empty for a pure number.
        latex: Symbol for plots without dollar signs; the name if empty.
    """

    name: str
    unit: str = ""
    latex: str = ""


@runtime_checkable
class Simulator(Protocol):
    """A simulator of events.

    Attributes:
        name: The name under which it is registered.
        parameters: The p parameters.
        observables: The d observables.
        manifold_dim: Dimension n of the manifold the events lie on, None if unknown.
    """

    name: str
    parameters: tuple[Parameter, ...]
    observables: tuple[Observable, ...]
    manifold_dim: int | None

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, p).

        All randomness comes from ``rng``: the same generator state gives the
        same events.
        """
        ...


@runtime_checkable
class HasLikelihood(Protocol):
    """A simulator whose likelihood is known."""

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-density of events on their manifold, with shape (N,).

        The density refers to the n-dimensional volume (Hausdorff) measure of the
        manifold in the units of the observables.

        Arguments:
            x: Events on the manifold, with shape (N, d).
            theta: Parameters, with shape (N, p).
        """
        ...


@runtime_checkable
class HasLogRatio(Protocol):
    """A simulator whose likelihood ratio is known, be its density known or not."""

    def log_ratio(self, x: Array, theta: Array, reference: Array) -> Array:
        """Return log p(x | theta) - log p(x | reference), with shape (N,).

        Both densities are normalised: events say nothing about the rate here.

        Arguments:
            x: Events on the manifold, with shape (N, d).
            theta: Parameters, with shape (N, p); one row serves all events.
            reference: Parameters of the denominator, with shape (N, p) or (1, p).
        """
        ...


@runtime_checkable
class HasJoint(Protocol):
    """A simulator that knows the joint likelihood of an event and its hidden history ("gold").

    Its :meth:`Simulator.simulate` fills ``log_ratio`` and ``score`` of the events:
    log p(x, h | theta) / p(x, h | joint_reference) and the gradient of
    log p(x, h | theta) in theta, at the theta of each event, with the hidden h that
    went with x. Over h they average to the likelihood ratio and the score of x.

    Attributes:
        joint_reference: Parameters of the denominator, p numbers.

    References:
        J. Brehmer, G. Louppe, J. Pavez and K. Cranmer, Mining gold from implicit
        models to improve likelihood-free inference, 2018, arXiv:1805.12244.
    """

    joint_reference: tuple[float, ...]


@runtime_checkable
class HasRate(Protocol):
    """A simulator whose number of events depends on the parameters in a known way."""

    def cross_section(self, theta: Array) -> Array:
        """Return the cross-section after all cuts in pb: (N, p) -> (N,)."""
        ...


@runtime_checkable
class HasManifold(Protocol):
    """A simulator whose manifold is known."""

    def distance(self, x: Array) -> Array:
        """How far events are from the manifold, with shape (N,), for ``x`` of shape (N, d)."""
        ...

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Move events off the manifold: out-of-distribution samples, with shape (N, d)."""
        ...


@runtime_checkable
class HasMorphing(Protocol):
    """A simulator whose density is a quadratic polynomial of the parameters.

    Its events carry component weights, which take them to any other parameters: see
    :func:`lfi_mflow.simulation.morph`.

    Attributes:
        rates: Components sigma_k of the cross-section, with shape (C,).
    """

    rates: Array


@runtime_checkable
class HasClosure(Protocol):
    """A simulator whose observables fulfil known relations, such as those of kinematics."""

    def kinematic_closure(self, x: Array) -> Array:
        """How far events are from fulfilling them: (N, d) -> (N,).

        Zero where all hold, and one on average for noise with the moments of the events.
        """
        ...


@runtime_checkable
class HasTestPoints(Protocol):
    """A simulator with parameter points at which models of it are compared.

    Attributes:
        test_points: The points, each with p numbers.
    """

    test_points: tuple[tuple[float, ...], ...]
