"""Ratio estimators learn what is known exactly, from files, with all that training offers."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError, Interrupted
from lfi_mflow.flows import PRESETS
from lfi_mflow.simulation import Events
from lfi_mflow.training import RunConfig, train_model

RATIOS = [name for name, preset in PRESETS.items() if preset.reference == "ratio"]
SETTINGS = {"network": {"hidden": 24, "blocks": 1}}
SD = 0.5


@pytest.fixture
def events(make_events):
    """(t, 10 t^2) with t ~ N(theta, 0.5^2); nothing is hidden, so the joint is the marginal."""

    def make(n, seed, reference=0.0):
        drawn = make_events(n, seed)
        t, theta = drawn.x[:, 0], drawn.theta[:, 0]
        log_ratio = _log_normal(t, theta) - _log_normal(t, reference)
        score = ((t - theta) / SD**2)[:, None]
        return dataclasses.replace(drawn, log_ratio=log_ratio, score=score)

    return make


@pytest.fixture
def configure():
    """A function that returns a short run."""

    def make(name, epochs=12, **settings):
        config = RunConfig(model=name, seed=1, settings=SETTINGS)
        phases = tuple(
            dataclasses.replace(phase, epochs=epochs, batch_size=100) for phase in config.schedule
        )
        return dataclasses.replace(config, phases=phases, **settings)

    return make


def _log_normal(t, mean):
    return -0.5 * ((t - mean) / SD) ** 2


def _log_ratio(flow, x, theta):
    with torch.no_grad():
        return flow.log_ratio(*(torch.from_numpy(v).float() for v in (x, theta))).double().numpy()


def _exact(events, denominator):
    """The exact log-ratio of events; p(x) is an average over theta."""
    t, theta = events.x[:, 0], events.theta[:, 0]
    if denominator == "reference":
        return _log_normal(t, theta) - _log_normal(t, 0.0)
    grid = np.linspace(-1, 1, 2001)
    marginal = np.log(np.mean(np.exp(_log_normal(t[:, None], grid)), axis=1))
    return _log_normal(t, theta) - marginal


@pytest.mark.statistical
@pytest.mark.parametrize("name", RATIOS)
def test_the_ratio_is_learnt(write, events, configure, name):
    """Typical log-ratios are about one."""
    flow = train_model(write(events(3000, seed=3)), configure(name)).flow
    test = events(1000, seed=4)
    exact = _exact(test, flow.denominator)
    found = _log_ratio(flow, test.x, test.theta)
    # a balanced classifier is cautious: it is the order of events that it has to get right
    assert np.corrcoef(found, exact)[0, 1] > 0.9
    if name != "bnre":
        assert np.sqrt(np.mean((found - exact) ** 2)) < 0.25 * exact.std()


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["nre-c", "alice"])
def test_weights_count(write, events, configure, name):
    """Events of a wider distribution with weights stand for those of the right one."""
    rng = np.random.default_rng(5)
    theta = rng.uniform(-1, 1, (6000, 1))
    t = theta[:, 0] + 0.8 * rng.normal(size=6000)
    pull = t - theta[:, 0]
    weight = np.exp(-0.5 * pull**2 * (1 / SD**2 - 1 / 0.8**2)) * 0.8 / SD
    # and the rates depend on theta, which is no business of the shape
    weight *= np.exp(theta[:, 0])
    log_ratio = _log_normal(t, theta[:, 0]) - _log_normal(t, 0.0)
    x = np.stack([t, 10 * t**2], axis=1)
    weighted = Events(theta, x, weight=weight, log_ratio=log_ratio)
    flow = train_model(write(weighted), configure(name, epochs=10)).flow
    test = events(1000, seed=4)
    # up to what depends on x alone
    shifted = np.clip(test.theta + 0.5, -1, 1)
    there, here = (_log_ratio(flow, test.x, values) for values in (shifted, test.theta))
    exact = _log_normal(test.x[:, 0], shifted[:, 0]) - _log_normal(test.x[:, 0], test.theta[:, 0])
    assert np.sqrt(np.mean((there - here - exact) ** 2)) < 0.3 * exact.std()


@pytest.mark.parametrize("name", ["nre-c", "alices"])
def test_streamed_and_interrupted_runs(
    write, events, configure, name, tmp_path, stop, same_weights
):
    """Streamed from the file, and stopped and resumed: the weights of a run in one go."""
    path = write(events(400, seed=3))
    config = configure(name, epochs=4, resident_bytes=1)
    whole = train_model(path, config)
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted):
        train_model(path, config, checkpoint=checkpoint, progress=stop("ratio", 7))
    resumed = train_model(path, config, checkpoint=checkpoint)
    assert same_weights(whole.flow.state_dict(), resumed.flow.state_dict())
    assert "distance_quantiles" not in whole.metadata.training


@pytest.mark.parametrize(
    ("name", "column", "option"),
    [("alice", "log_ratio", "reference=-1"), ("alices", "score", "score=true")],
)
def test_without_joint_quantities_there_is_no_alice(write, events, configure, name, column, option):
    path = write(dataclasses.replace(events(100, seed=3), **{column: None}))
    what = column.replace("_", "-")
    with pytest.raises(DataError, match=rf"a joint {what} in .*'{name}', found none; .*{option}"):
        train_model(path, configure(name))
