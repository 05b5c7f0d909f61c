"""The score of a ratio estimator in the place of the joint score of a simulator."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.data import open_events
from lfi_mflow.errors import ConfigError, DataError, Interrupted, ModelMismatchError
from lfi_mflow.flows import weights_digest
from lfi_mflow.simulation import Observable
from lfi_mflow.training import RunConfig, StreamedEvents, train_model
from lfi_mflow.training.taught_events import TaughtEvents

CPU = torch.device("cpu")


@pytest.fixture
def teacher(write, make_events):
    """A ratio estimator of (t, 10 t^2), t ~ N(theta, 0.5^2), whose score is 4 (t - theta)."""
    config = RunConfig(model="nre-c", seed=1, settings={"network": {"hidden": 24, "blocks": 1}})
    phases = (dataclasses.replace(config.schedule[0], epochs=12, batch_size=100),)
    path = write(make_events(3000, seed=3), "teacher.h5")
    return train_model(path, dataclasses.replace(config, phases=phases))


@pytest.fixture
def scandal(phases):
    """A run whose density learns the score."""
    learns = dataclasses.replace(phases[-1], objective="scandal", epochs=2)
    return RunConfig(phases=(*phases[:-1], learns), seed=1)


def test_the_score_is_the_gradient_of_what_was_learnt(path, teacher):
    with TaughtEvents(open_events(path), teacher, CPU) as file:
        assert "score" in file.columns
        assert file.read(columns=("theta", "x")).score is None
        events = file.read(slice(10, 30), columns=file.columns)
    theta = torch.from_numpy(events.theta).float().requires_grad_()
    log_ratio = teacher.flow.log_ratio(torch.from_numpy(events.x).float(), theta)
    (expected,) = torch.autograd.grad(log_ratio.sum(), theta)
    assert events.score.shape == (20, 1)
    np.testing.assert_allclose(events.score, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.statistical
def test_it_is_near_the_score_of_the_simulator(path, teacher):
    with TaughtEvents(open_events(path), teacher, CPU) as file:
        events = file.read(columns=file.columns)
    exact = 4.0 * (events.x[:, 0] - events.theta[:, 0])
    assert np.corrcoef(events.score[:, 0], exact)[0, 1] > 0.9


def test_a_density_learns_it(path, teacher, scandal):
    model = train_model(path, scandal, score_of=teacher)
    assert model.metadata.training["score_of"] == weights_digest(teacher.flow)
    with pytest.raises(DataError, match=r"a joint score .*--score-of"):
        train_model(path, scandal)


def test_a_run_goes_on_with_its_own_teacher_alone(path, teacher, scandal, tmp_path):
    """Not with another one that was trained with the same events."""
    checkpoint = tmp_path / "checkpoint"

    def stop(progress):
        if progress.phase == scandal.phases[-1].name:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train_model(path, scandal, score_of=teacher, checkpoint=checkpoint, progress=stop)
    other = copy.deepcopy(teacher)
    other.flow.recalibrate(0.5, 0.0)
    with pytest.raises(ConfigError, match="checkpoint"):
        train_model(path, scandal, score_of=other, checkpoint=checkpoint)
    train_model(path, scandal, score_of=teacher, checkpoint=checkpoint)


def test_streamed_events_have_it_too(path, teacher):
    options = {"dtype": torch.float32, "device": CPU, "validation_fraction": 0.1}
    with TaughtEvents(open_events(path), teacher, CPU) as file:
        events = file.read(columns=file.columns)
        batch = StreamedEvents(file, **options).prepare(lambda x, theta: x).some()
    np.testing.assert_allclose(batch.score[:100], events.score[:100], rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_refused(path, teacher, scandal, write, make_events, metadata):
    with pytest.raises(ConfigError, match="a phase that learns the score"):
        train_model(path, RunConfig(algorithm="chart"), score_of=teacher)
    density = dataclasses.replace(teacher, flow=train_model(path, scandal, score_of=teacher).flow)
    with pytest.raises(ModelMismatchError, match="a ratio estimator"):
        train_model(path, scandal, score_of=density)
    about = dataclasses.replace(metadata, observables=(Observable("a"), Observable("c")))
    other = write(make_events(100), "other.h5", about)
    with pytest.raises(ModelMismatchError, match=r"the observables a, b .* found a, c"):
        train_model(other, scandal, score_of=teacher)
