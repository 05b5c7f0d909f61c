import json

import numpy as np
import pytest

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import (
    Events,
    Normal,
    Prior,
    SimulationJob,
    Uniform,
    get_simulator,
    simulate_chunk,
    simulate_chunks,
)

PRIOR = Prior((Uniform(-1.0, 1.0),))


def surface_job(**changes) -> SimulationJob:
    values = {"n_events": 250, "seed": 5, "prior": PRIOR, "chunk_size": 100} | changes
    return SimulationJob("polynomial-surface", {}, **values)


def assert_same(first: Events, second: Events) -> None:
    assert first.x.tobytes() == second.x.tobytes()
    assert first.theta.tobytes() == second.theta.tobytes()


def test_chunks_cover_the_events():
    job = surface_job()
    assert [job.chunk_length(i) for i in range(job.n_chunks)] == [100, 100, 50]
    assert [len(events) for _, events in simulate_chunks(job, range(3))] == [100, 100, 50]
    assert surface_job(n_events=300).n_chunks == 3
    with pytest.raises(InputError, match="a chunk from 0 to 2"):
        simulate_chunk(job, 3)


def test_a_chunk_depends_on_nothing_but_its_job_and_number():
    job = surface_job()
    assert_same(simulate_chunk(job, 1), simulate_chunk(job, 1))
    # A longer job begins with the same events.
    assert_same(simulate_chunk(job, 1), simulate_chunk(surface_job(n_events=1000), 1))
    for other in (simulate_chunk(job, 0), simulate_chunk(surface_job(seed=6), 1)):
        assert not np.intersect1d(simulate_chunk(job, 1).x, other.x).size


def test_theta_comes_from_the_prior_or_is_fixed():
    events = simulate_chunk(surface_job(prior=Prior((Uniform(0.5, 0.6),))), 0)
    assert len(np.unique(events.theta)) == 100
    assert 0.5 <= events.theta.min() < events.theta.max() <= 0.6
    fixed = simulate_chunk(surface_job(prior=None, theta=(0.25,)), 0)
    assert fixed.theta.shape == (100, 1)
    assert np.unique(fixed.theta).tolist() == [0.25]


def test_events_of_a_wrong_shape_are_refused(plugin, line_source):
    path = plugin(line_source.replace("x=np.stack([u, self.slope * u]", "x=np.stack([u]"))
    job = SimulationJob(f"{path}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(InputError, match=r"x \(9, 2\).*x \(9, 1\).*check_simulator"):
        simulate_chunk(job, 0)


def test_a_simulator_that_is_built_already_is_used(line):
    job = SimulationJob(line, {}, n_events=9, seed=0, theta=(0.0, 1.0))
    events = simulate_chunk(job, 0, get_simulator(line, {"slope": -1.0}))
    np.testing.assert_array_equal(events.x[:, 1], -events.x[:, 0])


@pytest.mark.parametrize(
    "job", [surface_job(), surface_job(prior=None, theta=(0.25,)), surface_job(n_events=1)]
)
def test_table_round_trip(job):
    assert SimulationJob.from_table(json.loads(json.dumps(job.to_table()))) == job


def test_a_table_of_another_form():
    with pytest.raises(UnknownNameError, match="did you mean 'n_events'"):
        SimulationJob.from_table(surface_job().to_table() | {"n_event": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_events": 0}, "a number of events of at least 1, found 0"),
        ({"seed": -1}, "a seed of at least 0, found -1"),
        ({"chunk_size": 0}, "a chunk size of at least 1"),
        ({"prior": None}, "either a prior or theta, found neither"),
        ({"theta": (0.0,)}, "found both"),
        ({"prior": None, "theta": (1.5,)}, "theta from -1 to 1, found 1.5"),
        ({"prior": None, "theta": (float("nan"),)}, "theta from -1 to 1, found nan"),
        ({"prior": None, "theta": (0.0, 0.0)}, r"1 values of theta \(theta\), found 2"),
        ({"prior": Prior((Uniform(-2.0, 1.0),))}, "within"),
        ({"prior": Prior((Normal(0.0, 1.0),))}, "within"),
        ({"prior": Prior((Uniform(0.0, 1.0),) * 2)}, "a prior for 1 parameters, found one for 2"),
    ],
)
def test_jobs_that_cannot_be_done(changes, message):
    with pytest.raises(InputError, match=message):
        surface_job(**changes)


def test_a_simulator_that_does_not_exist():
    with pytest.raises(UnknownNameError, match="simulator"):
        SimulationJob("polynomial", {}, n_events=1, seed=0, prior=PRIOR)
