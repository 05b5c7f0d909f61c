"""What training makes of weights: which it takes, which it refuses, what it says of them."""

import dataclasses

import numpy as np
import pytest

from lfi_mflow.data import EventFile
from lfi_mflow.errors import DataError
from lfi_mflow.training import OBJECTIVES, Phase, check_weights, train_model
from lfi_mflow.training.phases import chart, sequential


@pytest.fixture
def weighed(write, make_events):
    """A function that writes 400 events with these weights."""
    return lambda weight: write(make_events(400, weight=np.asarray(weight, dtype=float)))


@pytest.fixture
def signed():
    weight = np.ones(400)
    weight[7:400:8] = -0.5
    return weight


def _check(path, schedule):
    with EventFile(path) as file:
        return check_weights(file, schedule)


def test_events_without_weights(path):
    assert _check(path, sequential()) is None


def test_positive_weights_are_used_and_summed_up(weighed):
    weight = np.linspace(0.0, 2.0, 400)
    use = _check(weighed(weight), sequential())
    assert use.used
    assert use.to_table() == {
        "used": True,
        "negative": 0,
        "sum": pytest.approx(weight.sum()),
        "effective_sample_size": pytest.approx(weight.sum() ** 2 / (weight**2).sum()),
    }


@pytest.mark.parametrize(
    "objective", [name for name in OBJECTIVES if OBJECTIVES[name].needs_positive_weights]
)
def test_negative_weights_are_refused_with_reason_and_remedies(weighed, signed, objective):
    schedule = (Phase("chart", "reconstruction", 1), Phase("h", objective, 1))
    expected = rf"for the objective '{objective}', found 50 negative ones of 400.*unbounded"
    with pytest.raises(DataError, match=expected) as refused:
        _check(weighed(signed), schedule)
    assert "lfi-mflow resample" in refused.value.remedy
    assert "--algorithm chart" in refused.value.remedy


def test_a_chart_takes_signed_weights_and_does_not_use_them(weighed, signed):
    use = _check(weighed(signed), chart())
    assert not use.used
    assert use.summary.negative == 50


@pytest.mark.parametrize("weight", [np.zeros(400), -np.ones(400)])
def test_weights_without_a_positive_sum(weighed, weight):
    with pytest.raises(DataError, match="with a positive sum, found"):
        _check(weighed(weight), sequential())


def test_a_few_events_with_all_the_weight(weighed):
    weight = np.full(400, 1e-6)
    weight[:49] = 1.0
    with pytest.raises(DataError, match=r"effective sample size of at least 50.*found 49 of 400"):
        _check(weighed(weight), sequential())


def test_weights_that_are_not_finite_do_not_count(weighed):
    weight = np.ones(400)
    weight[3], weight[5] = np.nan, np.inf
    assert _check(weighed(weight), sequential()).summary.total == 398.0


def test_a_model_says_what_was_made_of_the_weights(weighed, signed, path, config):
    assert train_model(path, config).metadata.training["weights"] is None
    used = train_model(weighed(np.linspace(0.5, 1.5, 400)), config).metadata.training
    assert used["weights"]["used"]
    assert used["n_reference"] < used["n_validation"]
    assert used["lacks"] == []
    only_chart = dataclasses.replace(config, phases=config.phases[:1])
    model = train_model(weighed(signed), only_chart)
    assert not model.metadata.training["weights"]["used"]
    assert model.metadata.training["n_reference"] == model.metadata.training["n_validation"]


def test_signed_events_train_the_chart_that_unweighted_ones_train(
    weighed, signed, path, config, same_weights
):
    only_chart = dataclasses.replace(config, phases=config.phases[:1])
    models = [train_model(events, only_chart) for events in (path, weighed(signed))]
    assert same_weights(*(model.flow.state_dict() for model in models))


def test_a_density_that_was_not_trained_is_lacking(path, config):
    only_chart = dataclasses.replace(config, phases=config.phases[:1])
    assert train_model(path, only_chart).flow.lacks == {"log_prob"}
    assert train_model(path, config).flow.lacks == frozenset()
