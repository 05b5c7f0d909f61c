"""What is simulated: a job, in chunks.

Every chunk has a random generator of its own, the child of the job's seed with
the number of the chunk. A chunk is therefore the same whoever computes it, and
when: the result depends neither on the number of workers nor on interruptions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lfi_mflow.config import from_table
from lfi_mflow.errors import InputError
from lfi_mflow.simulation.contract import Array, Parameter, Simulator
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.priors import Prior, check_support
from lfi_mflow.simulation.registry import get_simulator

__all__ = ["SimulationJob", "check_theta", "simulate_chunk"]


@dataclass(frozen=True)
class SimulationJob:
    """Which events to simulate: all that their values depend on.

    Arguments:
        simulator: A registered name, or ``path/to/file.py:Class``.
        settings: Keywords of the simulator's constructor, plain values.
        n_events: Number of events, at least 1.
        seed: Seed of all randomness, not negative.
        prior: Where theta is drawn from, one draw per event.
        theta: The theta of all events, instead of a prior.
        chunk_size: Events per chunk; part of what a seed means.

    Raises:
        InputError: If a number is out of range, theta or the prior reaches
            beyond the bounds of the parameters, or not exactly one of them is
            given. An unknown simulator is an error at once.
    """

    simulator: str
    settings: dict[str, Any]
    n_events: int
    seed: int
    prior: Prior | None = None
    theta: tuple[float, ...] | None = None
    chunk_size: int = 100_000

    def __post_init__(self) -> None:
        """Check the job against its simulator."""
        for name, value, least in (
            ("number of events", self.n_events, 1),
            ("seed", self.seed, 0),
            ("chunk size", self.chunk_size, 1),
        ):
            if value < least:
                raise InputError(f"a {name} of at least {least}", str(value), "give a larger one")
        parameters = get_simulator(self.simulator, self.settings).parameters
        if (self.prior is None) == (self.theta is None):
            found = "neither" if self.prior is None else "both"
            raise InputError("either a prior or theta", found, "give exactly one")
        if self.prior is not None:
            check_support(self.prior, parameters)
        if self.theta is not None:
            check_theta(self.theta, parameters)

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return math.ceil(self.n_events / self.chunk_size)

    def chunk_length(self, index: int) -> int:
        """Return the number of events in a chunk; the last may be shorter.

        Raises:
            InputError: If there is no such chunk.
        """
        if not 0 <= index < self.n_chunks:
            raise InputError(f"a chunk from 0 to {self.n_chunks - 1}", str(index), "choose one")
        return min(self.chunk_size, self.n_events - index * self.chunk_size)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON, read back by :meth:`from_table`."""
        return asdict(self) | {
            "prior": None if self.prior is None else self.prior.to_table(),
            "theta": None if self.theta is None else list(self.theta),
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> SimulationJob:
        """Build a job from what :meth:`to_table` returned.

        Raises:
            InputError: If the table is of another form or the job is not valid.
        """
        values = dict(table)
        prior = values.pop("prior", None)
        if prior is not None:
            values["prior"] = Prior.from_table(prior)
        return from_table(cls, values, "the simulation job")


def simulate_chunk(job: SimulationJob, index: int, simulator: Simulator | None = None) -> Events:
    """Simulate one chunk of a job.

    Arguments:
        job: The job.
        index: Number of the chunk, from 0.
        simulator: The job's simulator, if it is built already.

    Raises:
        InputError: If there is no such chunk, or the simulator returns something
            else than one event per parameter point.
    """
    n = job.chunk_length(index)
    simulator = simulator or get_simulator(job.simulator, job.settings)
    rng = np.random.default_rng(np.random.SeedSequence(job.seed, spawn_key=(index,)))
    events = simulator.simulate(_draw_theta(job, n, rng), rng)
    wanted = f"theta {(n, len(simulator.parameters))}, x {(n, len(simulator.observables))}"
    found = f"theta {events.theta.shape}, x {events.x.shape}"
    if found != wanted:
        raise InputError(
            f"events of the shapes {wanted} from {job.simulator!r}",
            found,
            "correct its simulate method; lfi_mflow.simulation.check_simulator tests it",
        )
    return events


def _draw_theta(job: SimulationJob, n: int, rng: np.random.Generator) -> Array:
    """Return the parameters of n events, with shape (n, p)."""
    if job.prior is not None:
        return job.prior.sample(n, rng)
    return np.tile(np.array(job.theta, dtype=float), (n, 1))


def check_theta(theta: tuple[float, ...], parameters: tuple[Parameter, ...]) -> None:
    """Fail if a parameter point does not fit the parameters.

    Raises:
        InputError: If it has another number of values, or one is out of bounds.
    """
    if len(theta) != len(parameters):
        names = ", ".join(parameter.name for parameter in parameters)
        raise InputError(
            f"{len(parameters)} values of theta ({names})", f"{len(theta)}", "give one for each"
        )
    for value, parameter in zip(theta, parameters, strict=True):
        # Written so that NaN is outside.
        if not parameter.low <= value <= parameter.high:
            raise InputError(
                f"{parameter.name} from {parameter.low:g} to {parameter.high:g}",
                f"{value:g}",
                "choose a value inside",
            )
