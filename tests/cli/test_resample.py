"""``lfi-mflow resample``: weighted and signed events on the command line."""

import dataclasses
import json

import numpy as np
import pytest

from lfi_mflow.data import open_events, write_events


@pytest.fixture
def weighted(study, tmp_path):
    """A function that gives the events of the study these weights."""

    def weighted(weight):
        with open_events(study.events) as file:
            events = dataclasses.replace(file.read(), weight=np.asarray(weight, dtype=float))
            write_events(tmp_path / "w.h5", file.metadata, [events], force=True)
        return tmp_path / "w.h5"

    return weighted


@pytest.fixture
def signed():
    weight = np.ones(2000)
    weight[::5] = -0.5
    return weight


def test_events_of_equal_weight(run, weighted, tmp_path):
    path = weighted(np.linspace(0.0, 2.0, 2000))
    result = run("resample", path, "-n", 900, "--seed", 1, "-o", tmp_path / "u.h5")
    assert result.status == 0
    assert "u.h5: 900 events; the weights are worth 1,500 of 2,000 events" in result.out
    assert "Warning" not in result.err
    with open_events(tmp_path / "u.h5") as file:
        assert len(file) == 900
        assert "weight" not in file.columns


def test_copies_are_warned_of(run, weighted, tmp_path):
    path = weighted(np.linspace(0.0, 2.0, 2000))
    result = run("resample", path, "-n", 2000, "--json", "-o", tmp_path / "u.h5")
    record = json.loads(result.out)
    copies = record["n_events"] - record["distinct"]
    assert f"{copies:,} of the 2,000 events are copies" in result.err
    assert "with -n 1000 there are none" in result.err


def test_a_poor_sample_is_warned_of(run, weighted, tmp_path):
    weight = np.full(2000, 1e-6)
    weight[:150] = 1.0
    result = run("resample", weighted(weight), "-n", 60, "-o", tmp_path / "u.h5")
    assert "Warning: the weighted events are worth 150 of 2,000 events only" in result.err


def test_signed_weights(run, weighted, signed, tmp_path):
    path = weighted(signed)
    record = json.loads(run("resample", path, "--json", "-o", tmp_path / "p.h5").out)
    assert (record["n_read"], record["negative"], record["distinct"]) == (2000, 400, 2000)
    assert record["effective_sample_size"] > record["effective_sample_size_before"]
    assert 0 < record["cells"]["median_radius"] <= record["cells"]["largest_radius"]
    line = run("resample", path, "--force", "-o", tmp_path / "p.h5").out
    assert "cells around 400 negative weights, radius" in line


def test_info_tells_what_weights_are_worth(run, weighted, signed):
    record = json.loads(run("info", weighted(signed), "--json").out)["weights"]
    assert record["negative"] == 400
    assert record["sum"] == signed.sum()
    assert record["effective_sample_size"] == pytest.approx(signed.sum() ** 2 / (signed**2).sum())


def test_from_signed_events_to_a_model(run, refused, study, weighted, signed, tmp_path):
    """What training says of signed weights leads out of it, both ways."""
    path, model = weighted(signed), tmp_path / "m.mflow"
    train = ["train", path, "--config", study.config, "-o", model]
    line = refused(tmp_path, *train)
    assert "400 negative ones of 2,000" in line
    assert f"lfi-mflow resample {path} -o positive.h5" in line
    assert "--algorithm chart" in line
    assert run("resample", path, "-o", tmp_path / "positive.h5").status == 0
    again = run("train", tmp_path / "positive.h5", "--config", study.config, "-o", model)
    assert again.status == 0
    assert "the weighted events are worth" in again.err
    # "the chart only" stands for the schedule of the configuration
    chart = run("train", path, "--algorithm", "chart", "--epochs", 1, "--force", "-o", model)
    assert chart.status == 0
    assert "400 of 2,000 weights are negative: the chart is trained without weights" in chart.err


def test_a_chart_projects_and_has_no_density(run, refused, study, weighted, signed, tmp_path):
    model = tmp_path / "m.mflow"
    chart = ["--algorithm", "chart", "--epochs", 1]
    assert run("train", weighted(signed), *chart, "-o", model).status == 0
    infer = ["infer", model, "--observed", study.observed, "-o", tmp_path / "p.nc"]
    assert "expected a model with a density of events" in refused(tmp_path, *infer)
    scores = tmp_path / "s.h5"
    record = json.loads(run("score", model, study.observed, "--json", "-o", scores).out)
    assert not record["log_prob"]
    assert record["median_distance"] > 0
    closure = ["closure", model, "--config", study.sizes, "--json", "-o", tmp_path / "c.json"]
    report = json.loads(run(*closure).out)
    assert "reconstruction_error" in report["metrics"]
    assert report["skipped"]["sbc_p_value"] == "the model has no density"


def test_mistakes(refused, weighted, signed, study, tmp_path):
    output = ["-o", tmp_path / "u.h5"]
    assert "give -n N" in refused(tmp_path, "resample", weighted(np.ones(2000)), *output)
    assert "with weights" in refused(tmp_path, "resample", study.events, "-n", 3, *output)
    line = refused(tmp_path, "resample", weighted(-signed), "-n", 3, *output)
    assert "positive sum" in line
    few = np.r_[np.ones(30), np.zeros(1970)]
    assert "found 30 of 2000" in refused(tmp_path, "resample", weighted(few), "-n", 3, *output)
    path = weighted(few)
    train = ["train", path, "--config", study.config, "-o", tmp_path / "m.mflow"]
    assert "effective sample size of at least 50" in refused(tmp_path, *train)
    path = weighted(np.zeros(2000))
    assert "a positive sum, found 0" in refused(tmp_path, *train)
