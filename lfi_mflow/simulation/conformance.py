r"""The conformance test of simulators, for users to run on their own.

::

    from lfi_mflow.simulation import check_simulator, get_simulator

    print(*check_simulator(get_simulator("my_simulator.py:Detector")), sep="\n")
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import InputError
from lfi_mflow.simulation.contract import (
    Array,
    HasClosure,
    HasJoint,
    HasLikelihood,
    HasLogRatio,
    HasManifold,
    HasMorphing,
    HasRate,
    HasTestPoints,
    Observable,
    Parameter,
    Simulator,
)
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.priors import Prior, check_support, default_prior

__all__ = ["check_simulator"]

_CLOSED = 0.01  # largest kinematic closure of own events; noise has 1
# Largest distance of own events to the own manifold, relative to their spread.
_TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8}
_FEW = 16  # events of a trial that may agree in a discrete observable by chance


@dataclass(frozen=True)
class _Trial:
    """A simulator, the parameters it is tried at, and what it made of them."""

    simulator: Simulator
    theta: Array
    seed: int
    events: Events


def check_simulator(
    simulator: Simulator, n: int = 64, seed: int = 0, prior: Prior | None = None
) -> list[str]:
    """Check that a simulator keeps the contract, with its capabilities.

    Arguments:
        simulator: The simulator.
        n: Number of events of each trial, at least 2.
        seed: Seed of the trials.
        prior: Where theta is drawn from; the bounds of the parameters by default.

    Returns:
        One line for each rule that was checked.

    Raises:
        InputError: At the first rule that is violated: what was expected, what
            was found, and what to do.
    """
    if n < 2:
        raise InputError("at least 2 events", str(n), "give a larger n")
    if not isinstance(simulator, Simulator):
        raise InputError("a simulator", repr(simulator), "see lfi_mflow.simulation.Simulator")
    lines = [_check_description(simulator)]
    prior = prior or default_prior(simulator.parameters)
    check_support(prior, simulator.parameters)
    theta = prior.sample(n, np.random.default_rng(seed))
    trial = _Trial(simulator, theta, seed, _simulate(simulator, theta, seed))
    lines += [
        _check_shapes(trial),
        _check_values(trial),
        _check_one_event(trial),
        _check_determinism(trial),
        _check_rows(trial),
    ]
    if isinstance(simulator, HasLikelihood):
        lines.append(_check_likelihood(simulator, trial.events))
    if isinstance(simulator, HasLogRatio):
        lines.append(_check_log_ratio(simulator, trial.events))
    if isinstance(simulator, HasJoint):
        lines.append(_check_joint(simulator, trial.events))
    if isinstance(simulator, HasRate):
        lines.append(_check_rate(simulator, trial.theta))
    if isinstance(simulator, HasManifold):
        lines += [_check_distance(simulator, trial), _check_perturb(simulator, trial)]
    return lines + _check_extras(simulator, trial)


def _check_extras(simulator: Simulator, trial: _Trial) -> list[str]:
    """Check what only some studies ask for."""
    lines = []
    if isinstance(simulator, HasClosure):
        lines.append(_check_closure(simulator, trial.events))
    if isinstance(simulator, HasMorphing):
        lines.append(_check_morphing(simulator, trial.theta.shape[1]))
    if isinstance(simulator, HasTestPoints):
        lines.append(_check_points(simulator, trial.theta.shape[1]))
    return lines


def _simulate(simulator: Simulator, theta: Array, seed: int) -> Events:
    """Simulate on a copy of theta; the global generators must stay as they are."""
    given = theta.copy()
    before = _global_state()
    events = simulator.simulate(given, np.random.default_rng(seed))
    _require(
        before == _global_state(),
        "all randomness from the rng that simulate is given",
        "use of a global generator",
        "replace np.random.* and random.* by methods of rng",
    )
    _require(
        bool(np.array_equal(given, theta)),
        "theta left as it was",
        "a simulate that changes it in place",
        "work on a copy of theta",
    )
    _require(
        isinstance(events, Events),
        "Events from simulate",
        repr(type(events)),
        "return lfi_mflow.simulation.Events(theta=theta, x=x)",
    )
    return events


def _global_state() -> tuple[object, str]:
    """Return the state of the generators that a simulator must not use."""
    kind, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return random.getstate(), f"{kind} {np.asarray(key).tolist()} {position} {has_gauss} {gauss}"


def _check_description(simulator: Simulator) -> str:
    """Check name, parameters, observables and dimension."""
    _require(
        isinstance(simulator.name, str) and simulator.name != "",
        "a name",
        repr(simulator.name),
        "give the simulator one",
    )
    _check_names("parameters", simulator.parameters, Parameter)
    _check_names("observables", simulator.observables, Observable)
    d = len(simulator.observables)
    _require(d > 0, "at least one observable", "none", "name the columns of x")
    for parameter in simulator.parameters:
        _require(
            parameter.low < parameter.high,
            f"{parameter.name} with low < high",
            f"{parameter.low:g} and {parameter.high:g}",
            "correct its bounds",
        )
    n = simulator.manifold_dim
    _require(
        n is None or 1 <= n <= d,
        f"a manifold_dim from 1 to {d}, or None",
        str(n),
        "correct it",
    )
    return f"description: {len(simulator.parameters)} parameters, {d} observables, manifold {n}"


def _check_names(what: str, items: Sequence[Parameter] | Sequence[Observable], kind: type) -> None:
    """Check that items are of their kind and have different names."""
    _require(
        isinstance(items, tuple) and all(isinstance(item, kind) for item in items),
        f"{what} as a tuple of {kind.__name__}",
        repr(items),
        f"build them with lfi_mflow.simulation.{kind.__name__}",
    )
    names = [item.name for item in items]
    _require(len(set(names)) == len(names), f"{what} of different names", f"{names}", "rename one")


def _check_shapes(trial: _Trial) -> str:
    """Check that there is one event per parameter point, and which point it is."""
    shape = (len(trial.theta), len(trial.simulator.observables))
    x = trial.events.x
    _require(x.shape == shape, f"x of shape {shape}", f"{x.shape}", "one row per row of theta")
    _require(
        bool(np.array_equal(trial.events.theta, trial.theta)),
        "the theta that was given in the events",
        f"another of shape {trial.events.theta.shape}",
        "return Events(theta=theta, ...)",
    )
    return f"shapes: one event with {shape[1]} features per row of theta"


def _check_values(trial: _Trial) -> str:
    """Check the features, which must be finite and vary, and the weights."""
    x = trial.events.x
    _require(
        x.dtype in _TOLERANCE, "x of type float32 or float64", str(x.dtype), "convert with astype"
    )
    for column, observable in enumerate(trial.simulator.observables):
        count = int(np.sum(~np.isfinite(x[:, column])))
        _require(
            count == 0,
            f"finite values of {observable.name}",
            f"{count} of {len(x)} NaN or infinite",
            "mend the simulator or drop such events in it",
        )
        _require(
            len(x) < _FEW or bool(np.ptp(x[:, column]) > 0.0),
            f"values of {observable.name} that vary",
            f"{x[0, column]:g} in all {len(x)} events",
            "leave the observable out: there is nothing to learn from it",
        )
    if trial.events.weight is not None:
        _check_vector("weight", trial.events.weight, len(x))
    return f"values: finite {x.dtype}"


def _check_one_event(trial: _Trial) -> str:
    """Check that a single event can be asked for."""
    x = _simulate(trial.simulator, trial.theta[:1], trial.seed).x
    shape = (1, trial.events.x.shape[1])
    _require(
        x.shape == shape, f"x of shape {shape} for one row", f"{x.shape}", "keep the first axis"
    )
    return "one event: works"


def _check_determinism(trial: _Trial) -> str:
    """Check that the generator, and nothing else, decides about the events."""
    again = _simulate(trial.simulator, trial.theta, trial.seed)
    for name, array in trial.events.columns().items():
        _require(
            bool(np.array_equal(array, again.columns()[name])),
            f"the same {name} from the same generator state",
            "different ones",
            "draw everything from rng and keep no state between calls",
        )
    other = _simulate(trial.simulator, trial.theta, trial.seed + 1)
    _require(
        not np.array_equal(trial.events.x, other.x),
        "other events from another generator state",
        "the same",
        "draw from rng instead of a generator with a seed of its own",
    )
    return "determinism: events depend on theta and the generator only"


def _check_rows(trial: _Trial) -> str:
    """Check that the later rows of theta matter, not only the first."""
    if trial.theta.shape[1] == 0:
        return "rows of theta: no parameters"
    theta = trial.theta.copy()
    theta[1:] = np.roll(theta[1:], 1, axis=0) if len(theta) > 2 else theta[:1]
    events = _simulate(trial.simulator, theta, trial.seed)
    # Weighted events may lie at the same places for all theta.
    pairs = ((events.x, trial.events.x), (events.weight, trial.events.weight))
    _require(
        any(
            new is not None and old is not None and not np.array_equal(new[1:], old[1:])
            for new, old in pairs
        ),
        "each event simulated at its own row of theta",
        "events and weights that do not change with theta[1:]",
        "use theta[:, j], not theta[0, j]",
    )
    return "rows of theta: every event at its own"


def _check_likelihood(simulator: HasLikelihood, events: Events) -> str:
    """Check that own events have a finite likelihood."""
    log_prob = simulator.log_prob(events.x.astype(float), events.theta.astype(float))
    _check_vector("log_prob", log_prob, len(events))
    return "log_prob: finite on own events"


def _check_log_ratio(simulator: HasLogRatio, events: Events) -> str:
    """Check that the ratio of own events is finite, and changes its sign with the sides."""
    x, theta = events.x.astype(float), events.theta.astype(float)
    other = np.roll(theta, 1, axis=0)
    there, back = simulator.log_ratio(x, theta, other), simulator.log_ratio(x, other, theta)
    _check_vector("log_ratio", there, len(x))
    _require(
        bool(np.allclose(there, -back)),
        "a log_ratio that changes its sign when theta and reference are exchanged",
        f"differences up to {np.abs(there + back).max():.3g}",
        "return log p(x | theta) - log p(x | reference)",
    )
    return "log_ratio: finite on own events, antisymmetric"


def _check_joint(simulator: HasJoint, events: Events) -> str:
    """Check that events have a joint ratio and score, and what the ratio is to."""
    n, p = events.theta.shape
    found = len(simulator.joint_reference)
    _require(found == p, f"{p} numbers in joint_reference", f"{found}", "one for each parameter")
    for name, array, shape in (
        ("log_ratio", events.log_ratio, (n,)),
        ("score", events.score, (n, p)),
    ):
        _require(
            array is not None and array.shape == shape and bool(np.isfinite(array).all()),
            f"a finite {name} of shape {shape} in the events",
            "none" if array is None else f"shape {array.shape}, or values that are not finite",
            "fill it in simulate, or drop joint_reference",
        )
    return "joint: log-ratio and score of every event"


def _check_rate(simulator: HasRate, theta: Array) -> str:
    """Check that there is a positive cross-section at every theta."""
    sigma = simulator.cross_section(theta)
    _check_vector("cross_section", sigma, len(theta))
    _require(bool(np.all(sigma > 0.0)), "positive cross-sections", f"{sigma.min():g}", "correct it")
    return f"cross_section: {sigma.min():.3g} to {sigma.max():.3g} pb"


def _check_distance(simulator: HasManifold, trial: _Trial) -> str:
    """Check that own events lie on the manifold."""
    x = trial.events.x
    distance = simulator.distance(x.astype(float))
    _check_vector("distance", distance, len(x))
    allowed = _TOLERANCE[x.dtype] * max(float(np.abs(x).max()), 1e-300)
    _require(
        bool(np.all(distance >= 0.0) and np.all(distance <= allowed)),
        f"own events within {allowed:.1g} of the manifold",
        f"distances from {distance.min():.3g} to {distance.max():.3g}",
        "see that simulate and distance mean the same manifold",
    )
    return f"distance: own events within {distance.max():.1g}"


def _check_perturb(simulator: HasManifold, trial: _Trial) -> str:
    """Check that perturbed events are off the manifold."""
    x = trial.events.x.astype(float)
    moved = simulator.perturb(x.copy(), np.random.default_rng(trial.seed))
    _require(moved.shape == x.shape, f"shape {x.shape} from perturb", f"{moved.shape}", "keep it")
    median, own = float(np.median(simulator.distance(moved))), simulator.distance(x).max()
    _require(
        median > own,
        f"perturbed events farther from the manifold than own ones ({own:.3g})",
        f"a median distance of {median:.3g}",
        "let perturb move events off the manifold",
    )
    return f"perturb: median distance {median:.2g}"


def _check_closure(simulator: HasClosure, events: Events) -> str:
    """Check that own events fulfil the relations between their observables."""
    closure = simulator.kinematic_closure(events.x.astype(float))
    _check_vector("kinematic_closure", closure, len(events))
    _require(
        bool(np.all(closure >= 0.0) and closure.mean() < _CLOSED),
        f"a kinematic_closure from 0 to {_CLOSED:g} of own events",
        f"{closure.min():.3g} to {closure.max():.3g}",
        "see that simulate fulfils the relations",
    )
    return f"kinematic_closure: {closure.mean():.1g} for own events"


def _check_morphing(simulator: HasMorphing, p: int) -> str:
    """Check that there is a component of the cross-section for each monomial."""
    rates, count = np.asarray(simulator.rates), (p + 1) * (p + 2) // 2
    _require(
        rates.shape == (count,) and bool(np.isfinite(rates).all()),
        f"{count} finite numbers in rates, one for each monomial of theta up to degree two",
        f"shape {rates.shape}, or values that are not finite",
        "correct them",
    )
    return f"rates: {count} components"


def _check_points(simulator: HasTestPoints, p: int) -> str:
    """Check that the test points are parameters."""
    points = simulator.test_points
    _require(
        len(points) > 0 and all(len(point) == p for point in points),
        f"test_points with {p} numbers each",
        str(points),
        "one for each parameter",
    )
    return f"test_points: {len(points)}"


def _check_vector(name: str, values: NDArray[np.floating], n: int) -> None:
    """Check that there is one finite number per event."""
    values = np.asarray(values)
    _require(values.shape == (n,), f"{name} of shape {(n,)}", f"{values.shape}", "one per event")
    count = int(np.sum(~np.isfinite(values)))
    _require(count == 0, f"a finite {name} for each event", f"{count} of {n} not", "correct it")


def _require(kept: bool, expected: str, found: str, remedy: str) -> None:
    """Raise InputError unless a rule is kept."""
    if not kept:
        raise InputError(expected, found, remedy)
