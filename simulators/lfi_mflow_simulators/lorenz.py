r"""The Lorenz attractor: states of a chaotic system, and of families of it.

.. math:: \dot x = \sigma (y - x), \quad \dot y = x (\rho - z) - y, \quad \dot z = x y - \beta z

With sigma = 10, rho = 28 and beta = 8/3 the trajectories fall onto a strange
attractor, two wings of fractal dimension 2.06: very nearly a surface in R^3.

The published study follows 100 trajectories from (1, 1, 1) + 0.1 N(0, 1) and
keeps what lies between t = 50 and t = 1000. An event is one such state. A call
for N events starts up to 100 trajectories. The first state of each is taken at a
random time from t = 50 to 55 and, as far as more are needed, the others every 0.1
units of time after it; the events come in random order. The random time is there
because trajectories forget the phase of their oscillation slowly: of 8,000 that
start together, the mean of z still swings by 4.3 at t = 20 and by 0.3 at t = 50.
With it a state is a draw from the invariant measure, whichever time it has, and
neighbours on a trajectory are correlated for about one unit of time. Each chunk
of a production has trajectories of its own: a million events in chunks of 100,000
follow 1,000 trajectories for 100 units, as much time in all as the published ones.

The features keep their own units: a flow of lfi-mflow standardises them itself
and accounts for it in its density; standardising here as well would hide the
units from the reader and would need moments that change with the parameters.

References:
    E. N. Lorenz, Deterministic nonperiodic flow, Journal of the Atmospheric
    Sciences 20 (1963) 130.
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import Array, Events, Observable, Parameter
from lfi_mflow_simulators.lorenz_trajectories import CLASSICAL, STEP, integrate

__all__ = ["Lorenz"]

Integers = NDArray[np.integer]

# Everywhere in these ranges the fixed points are unstable and the motion is chaotic.
_PARAMETERS = (
    Parameter("sigma", 9.0, 11.0, latex=r"\sigma"),
    Parameter("rho", 27.0, 33.0, latex=r"\rho"),
    Parameter("beta", 2.4, 2.9, latex=r"\beta"),
)
_SPREAD = 0.1
# Longest delay of the first state: several periods of the oscillation, of 0.75 each.
_DELAY = 5.0


@dataclass(frozen=True)
class _Readout:
    """How an event is read off a trajectory: at which times, with how much noise."""

    times: tuple[float, ...]
    noise: float


_READOUTS = {
    "snapshot": _Readout((0.0,), 0.0),
    "trajectory": _Readout((0.0, 0.2, 0.4, 0.6, 0.8), 1.0),
}


class Lorenz:
    """Simulator of states of the Lorenz system, or of pieces of its trajectories.

    Warning:
        With free parameters each row of theta has a trajectory, and an attractor,
        of its own. Densities on two different attractors are mutually singular:
        as long as there is no noise, the likelihood ratio of two parameter points
        is zero or infinite, and what a model with one manifold for all theta says
        about it is an artefact of that manifold. ``manifold_dim`` is None then.
        Ratio estimation, or noisy observables, are the way to infer them.

    Arguments:
        free: The names of the free parameters among sigma, rho and beta, in a list
            or separated by commas; the others keep their classical values. None of
            them by default: then theta has no columns.
        observables: ``"snapshot"``, the state (x, y, z), or ``"trajectory"``, the
            states at several times with noise.
        trajectories: Trajectories that share the events of a call, if there are so
            many; more make it faster. With free parameters each event has its own,
            and costs a whole burn-in: lower the start of the window if you can.
        window: The burn-in, after which states are taken, and the time of the last.
            The first state of a trajectory lies at random in the first five units
            of the window, or in the first half of a shorter one.
        spacing: Time between two states of a trajectory.
        times: When an event is read off, after its beginning; (0,) for snapshots,
            (0, 0.2, 0.4, 0.6, 0.8) for trajectories by default.
        noise: Standard deviation of the normal noise on every observable; 0 for
            snapshots, 1 for trajectories by default.

    Times are rounded to whole steps of 0.01.

    Attributes:
        parameters: The free parameters.
        observables: The d observables, ``x``, ``y`` and ``z``, with the number of
            the time if there are several.
        manifold_dim: 2; None with noise, or if the manifold depends on theta.

    Raises:
        UnknownNameError: If there is no such parameter or kind of observables.
        InputError: If a number is out of range.
    """

    name = "lorenz"

    def __init__(
        self,
        free: str | Sequence[str] = (),
        observables: str = "snapshot",
        trajectories: int = 100,
        window: Sequence[float] = (50.0, 1000.0),
        spacing: float = 0.1,
        times: Sequence[float] | None = None,
        noise: float | None = None,
    ) -> None:
        if observables not in _READOUTS:
            raise UnknownNameError("kind of observables", str(observables), _READOUTS)
        readout = _READOUTS[observables]
        self._noise = float(readout.noise if noise is None else noise)
        _require(0.0 <= self._noise < math.inf, "a noise of at least 0", self._noise)
        _require(int(trajectories) >= 1, "at least 1 trajectory", trajectories)
        self._trajectories = int(trajectories)
        _require(STEP <= spacing < math.inf, f"a spacing of at least {STEP}", spacing)
        self._stride = _steps(spacing)
        self._offsets = _offsets(readout.times if times is None else times)
        self._start, room = _room(window, self._offsets)
        self._delays = 1 + min(_steps(_DELAY), room // 2)
        self._per_trajectory = 1 + (room - self._delays + 1) // self._stride
        self.parameters = _free_parameters(free)
        self.observables = _name_observables(len(self._offsets))
        one_manifold = not self.parameters and self._noise == 0.0
        self.manifold_dim: int | None = 2 if one_manifold else None

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, p)."""
        theta = np.asarray(theta, dtype=float)
        x = self._draw_own(theta, rng) if self.parameters else self._draw_shared(len(theta), rng)
        if self._noise:
            x += self._noise * rng.standard_normal(x.shape)
        return Events(theta=theta, x=x)

    def _draw_shared(self, n: int, rng: np.random.Generator) -> Array:
        """Draw events from common trajectories: (n, d)."""
        per_trajectory = math.ceil(n / min(self._trajectories, max(n, 1)))
        per_trajectory = min(per_trajectory, self._per_trajectory)
        events = self._follow(math.ceil(n / max(per_trajectory, 1)), per_trajectory, rng)
        # Neighbours on a trajectory must not be neighbours in a file.
        return events[rng.permutation(len(events))[:n]]

    def _draw_own(self, theta: Array, rng: np.random.Generator) -> Array:
        """Draw one event from a trajectory for each row of theta: (N, p) -> (N, d)."""
        columns = zip(self.parameters, theta.T, strict=True)
        return self._follow(len(theta), 1, rng, {row.name: values for row, values in columns})

    def _follow(
        self,
        trajectories: int,
        per_trajectory: int,
        rng: np.random.Generator,
        values: dict[str, Array] | None = None,
    ) -> Array:
        """Follow trajectories and read events off them, with shape (events, d).

        Arguments:
            trajectories: Number M of trajectories.
            per_trajectory: Number K of events of each.
            rng: Source of the initial states.
            values: Parameters that are not the classical ones, with shape (M,).
        """
        initial = 1.0 + _SPREAD * rng.standard_normal((trajectories, 3))
        delays = rng.integers(0, self._delays, trajectories)
        first = self._start + self._stride * np.arange(per_trajectory)
        when, rows = np.unique(first[:, None] + self._offsets, return_inverse=True)
        states = integrate(initial, when, delays, STEP, **(values or {}))
        events = states[rows.reshape(per_trajectory, len(self._offsets))]
        shape = (per_trajectory * trajectories, len(self.observables))
        return events.transpose(0, 2, 1, 3).reshape(shape)


def _steps(time: float) -> int:
    """Return the number of steps in a time."""
    return round(time / STEP)


def _offsets(times: Sequence[float]) -> Integers:
    """Return the steps from the beginning of an event to each of its times."""
    offsets = np.round(np.asarray(times, dtype=float) / STEP)
    rising = offsets.ndim == 1 and len(offsets) > 0 and bool(np.all(np.diff(offsets) > 0))
    _require(
        rising and offsets[0] >= 0 and bool(np.isfinite(offsets).all()),
        f"rising times, 0 or later and at least {STEP} apart",
        times,
    )
    return offsets.astype(int)


def _room(window: Sequence[float], offsets: Integers) -> tuple[int, int]:
    """Return the steps of the burn-in, and those from the first state to the last event."""
    start, stop = window
    _require(
        0.0 <= start < stop < math.inf, "a window (start, stop) with 0 <= start < stop", window
    )
    room = _steps(stop) - _steps(start) - int(offsets[-1])
    _require(room >= 0, f"a window as long as an event, {offsets[-1] * STEP:g}", window)
    return _steps(start), room


def _free_parameters(free: str | Sequence[str]) -> tuple[Parameter, ...]:
    """Return the free parameters in the order of the equations."""
    names = [part.strip() for part in free.split(",")] if isinstance(free, str) else list(free)
    names = [name for name in names if name]
    for name in names:
        if name not in CLASSICAL:
            raise UnknownNameError("parameter of the Lorenz system", str(name), CLASSICAL)
    return tuple(parameter for parameter in _PARAMETERS if parameter.name in names)


def _name_observables(times: int) -> tuple[Observable, ...]:
    """Name the observables: x, y, z at each time."""
    if times == 1:
        return tuple(Observable(name) for name in "xyz")
    return tuple(
        Observable(f"{name}{i}", latex=f"{name}_{i}") for i in range(times) for name in "xyz"
    )


def _require(kept: bool, expected: str, found: object) -> None:
    """Raise InputError unless a setting is in range."""
    if not kept:
        raise InputError(f"{expected} for the Lorenz system", str(found), "correct the setting")
