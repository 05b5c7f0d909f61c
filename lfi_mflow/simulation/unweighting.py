"""Unweighted events of a simulator whose own events are weighted.

Proposals are accepted with a probability proportional to their weight, up to a
bound that a pilot sample sets: what lies above it is accepted always, and so
drawn too seldom. The bound leaves at most 10^-3 of the weight above it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lfi_mflow.errors import DataError
from lfi_mflow.simulation.contract import Array, Simulator
from lfi_mflow.simulation.events import Events

__all__ = ["simulate_unweighted"]

_PILOT = 20_000
_ROUND = 16_384
_LOST = 1e-3
_ROUNDS = 10_000


def simulate_unweighted(simulator: Simulator, theta: Array, rng: np.random.Generator) -> Events:
    """Simulate one event of weight one per row of ``theta``, with shape (N, p).

    What a simulator of unweighted events gives is returned as it is. The component
    weights of the events are left out: they belong to the proposals.

    Arguments:
        simulator: The simulator; its weights must not be negative.
        theta: Parameters, with shape (N, p).
        rng: Source of all randomness.

    Raises:
        DataError: If a weight is negative or not finite, or no event is accepted.
    """
    events = simulator.simulate(theta, rng)
    if events.weight is None or not len(theta):
        return events
    bound = _bound(simulator, theta, rng)
    todo, order, batches = np.arange(len(theta)), [], []
    for _ in range(_ROUNDS):
        rows = np.resize(todo, max(_ROUND, len(todo)))
        proposals = simulator.simulate(theta[rows], rng)
        weight = _checked(proposals)
        accepted = np.flatnonzero(rng.random(len(rows)) * bound < weight)
        # A row takes the first proposal that it accepts.
        done, first = np.unique(rows[accepted], return_index=True)
        batches.append(_without_weights(proposals[accepted[first]]))
        order.append(done)
        todo = np.setdiff1d(todo, done, assume_unique=True)
        if not len(todo):
            return Events.concatenate(batches)[np.argsort(np.concatenate(order))]
    raise DataError(
        "a simulator whose weights can be removed",
        f"{len(todo)} of {len(theta)} parameter points without an event after {_ROUNDS} rounds",
        "let the simulator draw unweighted events itself",
    )


def _bound(simulator: Simulator, theta: Array, rng: np.random.Generator) -> float:
    """Return the smallest bound that at most 10^-3 of the weight of a pilot lies above."""
    rows = rng.integers(0, len(theta), _PILOT)
    weight = np.sort(_checked(simulator.simulate(theta[rows], rng)))[::-1]
    total = weight.sum()
    if not total > 0.0:
        raise DataError(
            "events of positive weight", "none in a pilot sample", "correct the simulator"
        )
    # Above the k-th largest weight lie the k - 1 larger ones, each by its excess.
    above = np.cumsum(weight) - weight * np.arange(1, len(weight) + 1)
    return float(weight[np.flatnonzero(above <= _LOST * total)[-1]])


def _checked(events: Events) -> Array:
    """Return weights that are finite and not negative."""
    weight = np.ones(len(events)) if events.weight is None else np.asarray(events.weight, float)
    if not (np.isfinite(weight).all() and np.all(weight >= 0.0)):
        raise DataError(
            "finite weights >= 0 from the simulator",
            "others",
            "events of negative weight cannot be drawn one by one: test with another simulator",
        )
    return weight


def _without_weights(events: Events) -> Events:
    """Leave out what belongs to the density of the proposals."""
    return dataclasses.replace(events, weight=None, components=None)
