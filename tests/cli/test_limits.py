"""Confidence regions from the command line."""

import json

import numpy as np
import pytest

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.flows import load_model, weights_digest
from lfi_mflow.inference import Limits
from lfi_mflow.simulation import Events, Observable

pytest.importorskip("iminuit")


@pytest.fixture
def limits(run, study, tmp_path):
    """Find limits of the study's observed events, asymptotic and of the shape by default."""

    def limits(*options, data=("--observed", study.observed), method="asymptotic"):
        command = ["limits", study.model, *data, "--method", method, "--threads", 1, "--force"]
        return run(*command, "-o", tmp_path / "l.json", *options)

    return limits


@pytest.fixture
def refuse(refused, study, tmp_path):
    """Ask for limits that are to be refused."""

    def refuse(*options, data=("--observed", study.observed)):
        return refused(tmp_path, "limits", study.model, *data, "-o", tmp_path / "l.json", *options)

    return refuse


def test_limits_by_toys(limits, tmp_path):
    sizes = ("--toys", 50, "--pool", 1000)
    result = limits("--shape-only", *sizes, "--seed", 3, method="neyman")
    assert result.status == 0, result.err
    assert "neyman limits of 10 observed events" in result.out.splitlines()[-1]
    found = Limits.load(tmp_path / "l.json")
    row = found.parameters["theta"]
    assert row["neyman"].keys() == row["asymptotic"].keys() == {"68", "95"}
    assert found.toys == {**found.toys, "number": 50, "seed": 3, "source": "surrogate"}
    assert found.data["shape_only"] is True
    again = limits("--shape-only", *sizes, "--seed", 3, "--json", method="neyman")
    assert json.loads(again.out)["parameters"]["theta"]["neyman"] == row["neyman"]


def test_infer_with_limits_is_limits(run, study, tmp_path):
    options = ["--shape-only", "--method", "asymptotic", "--json", "-o"]
    records = []
    for name, command in (("a", ["limits"]), ("b", ["infer", "--limits"])):
        command += [study.model, "--observed", study.observed, *options, tmp_path / name]
        result = run(*command)
        assert result.status == 0, result.err
        records.append(json.loads(result.out)["parameters"])
    assert records[0] == records[1]
    assert "--limits" in run("infer", "--help").out


def test_a_luminosity_counts_the_events(limits, tmp_path):
    config = tmp_path / "limits.toml"
    config.write_text("luminosity = 5.0\ncross_section = [2.0, 0.4, 0.0]\n")
    record = json.loads(limits("--config", config, "--json").out)
    best = record["parameters"]["theta"]["best_fit"]
    assert record["data"]["expected"] == pytest.approx(5.0 * (2.0 + 0.4 * best), rel=1e-5)
    assert record["data"]["luminosity"] == 5.0
    other = json.loads(limits("--config", config, "--luminosity", 50, "--json").out)
    assert other["data"]["luminosity"] == 50.0
    shape = json.loads(limits("--config", config, "--shape-only", "--json").out)
    assert shape["data"]["expected"] is None


def test_an_uncertain_luminosity_is_a_nuisance(limits, tmp_path):
    config = tmp_path / "limits.toml"
    config.write_text("luminosity = 500.0\ncross_section = [2.0, 1.9, 0.0]\n")
    data = ("--asimov", "0.2", "--sample", 500)
    known, uncertain = (
        json.loads(limits("--config", config, *options, "--json", data=data).out)
        for options in ((), ("--luminosity-uncertainty", 0.1))
    )
    assert (known["nuisances"], known["data"]["theta"]) == ({}, [0.2])
    found = uncertain["nuisances"]["luminosity"]
    assert (found["measured"], found["width"]) == (1.0, 0.1)
    assert uncertain["data"]["theta"] == [0.2, 1.0]
    assert uncertain["data"]["events"] == pytest.approx(known["data"]["events"])
    assert 0.0 < found["error"] < 0.1  # the events tell of it, too
    assert uncertain["information"]["errors"].keys() == {"theta", "luminosity"}
    marginal = json.loads(
        limits("--config", config, "--luminosity-uncertainty", 0.1, "--json", "--marginalise").out
    )
    assert marginal["parameters"]["theta"]["credible"]["r_hat"] < 1.05
    config.write_text(config.read_text() + "luminosity_uncertainty = 0.1\n")
    assert limits("--config", config, "--shape-only").status == 0


def test_expected_limits(limits):
    data = ("--asimov", "0.2", "--events", 30, "--sample", 500)
    result = limits("--shape-only", "--json", "--source", "simulator", data=data)
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record["data"]["kind"] == "asimov"
    assert record["data"]["events"] == pytest.approx(30)
    assert record["data"]["effective_sample_size"] == pytest.approx(500)
    assert record["information"]["theta"] == [0.2]
    assert "exact_kinematics" in record["information"]
    assert "the Asimov sample has an effective size of 500" in limits("--shape-only", data=data).err


def test_nuisances_are_marginalised_on_request(limits):
    record = json.loads(limits("--shape-only", "--json", "--marginalise").out)
    low, high = record["parameters"]["theta"]["credible"]["68"]
    assert -1 < low < high < 1


def test_a_background_on_the_chart_of_the_signal(run, study, tmp_path):
    """Background events without parameters, and a mixture of both."""
    x = np.random.default_rng(0).normal(size=(400, 3))
    metadata = EventMetadata((), tuple(Observable(f"x{i}") for i in range(3)), manifold_dim=2)
    path, model = tmp_path / "b.h5", tmp_path / "b.mflow"
    write_events(path, metadata, [Events(np.zeros((400, 0)), x)], force=False)
    train = ["train", path, "--chart-of", study.model, "--epochs", 1, "-o", model]
    result = run(*train, "--threads", 1)
    assert result.status == 0, result.err
    signal, background = (load_model(file) for file in (study.model, model))
    assert background.metadata.training["chart_of"] == weights_digest(signal.flow)
    pairs = zip(signal.flow.chart.parameters(), background.flow.chart.parameters(), strict=True)
    assert all(bool((a == b).all()) for a, b in pairs)
    config = tmp_path / "limits.toml"
    config.write_text(
        "luminosity = 4.0\ncross_section = [2.0]\n"
        "[processes.background]\nmodel = 'b.mflow'\ncross_section = [0.5]\n"
    )
    limits = ["limits", study.model, "--observed", study.observed, "--config", config, "--json"]
    result = run(*limits, "--toys", 50, "--pool", 1000, "-o", tmp_path / "l.json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record["data"]["expected"] == pytest.approx(10.0)
    assert record["toys"]["number"] == 50


def test_info_and_report_know_limits(limits, run, study, tmp_path):
    limits("--shape-only")
    path = tmp_path / "l.json"
    assert "limits of 10 events, best fit theta = " in run("info", path).out
    result = run("report", study.model, path, "-o", tmp_path / "r.html")
    assert result.out.endswith("report on model, limits\n"), result.err
    page = (tmp_path / "r.html").read_text()
    assert "Confidence regions" in page
    assert "shape only" in page


def test_limits_of_another_model_are_refused(refused, study, tmp_path):
    row = {"best_fit": 0.0}
    Limits({"mu": row}, data={"events": 1.0}).save(tmp_path / "l.json")
    report = ["report", study.model, tmp_path / "l.json", "-o", tmp_path / "r.html"]
    assert "expected limits of the model's parameters theta, found mu" in refused(tmp_path, *report)


def test_bad_input_is_one_clear_line(refuse, study, tmp_path):
    assert "a luminosity, or shape only, found neither" in refuse()
    assert "found both" in refuse("--luminosity", 1, "--shape-only")
    line = refuse("--luminosity", 1)
    assert "a cross-section to go with the luminosity, found none of polynomial-surface" in line
    config = tmp_path / "limits.toml"
    config.write_text("cross_section = [1.0]\n")
    assert "a positive luminosity, found -3" in refuse("--luminosity", -3, "--config", config)
    assert "expected toys >= 50, found 49" in refuse("--shape-only", "--toys", 49)
    assert "did you mean 'theta'" in refuse("--shape-only", "--interest", "thet")
    assert "--observed FILE or --asimov V1,V2, found neither" in refuse("--shape-only", data=())
    asimov = ("--asimov", "1.5", "--events", 20)
    line = refuse("--shape-only", data=asimov)
    assert "an Asimov point with theta in [-1, 1], where the model was trained, found 1.5" in line
    assert "with numbers between commas" in refuse("--shape-only", data=("--asimov", "a"))
    assert "a number of events" in refuse("--shape-only", data=("--asimov", "0"))
    assert "at least 50 of weighted events, found 40" in refuse(
        "--shape-only", "--sample", 40, data=("--asimov", "0", "--events", 20)
    )
    assert "--marginalise with --observed" in refuse("--shape-only", "--marginalise", data=asimov)
    assert "a luminosity with its uncertainty, found shape only" in refuse(
        "--shape-only", "--luminosity-uncertainty", 0.1
    )
    config.write_text("shape_only = true\n[nuisances.theta]\nmeasured = 0.0\nwidth = 1.0\n")
    assert "one or two parameters of interest, found 0" in refuse("--config", config)
    config.write_text("shape_only = true\nwidht = 3\n")
    assert "widht" in refuse("--config", config)


def test_a_ratio_estimator_needs_the_events_of_the_simulator(run, study, tmp_path):
    model = tmp_path / "ratio.mflow"
    train = ["train", study.events, "--model", "nre-c", "--epochs", 1, "--threads", 1]
    assert run(*train, "-o", model).status == 0
    limits = ["limits", model, "--observed", study.observed, "--shape-only"]
    result = run(*limits, "-o", tmp_path / "l.json")
    assert result.status == 2
    assert "found --source surrogate and nre-c; add --source simulator" in result.err


def test_another_model_takes_the_chart(run, study, tmp_path):
    model = tmp_path / "ratio.mflow"
    train = ["train", study.events, "--chart-of", study.model, "--model", "mr-flow"]
    result = run(*train, "--epochs", 1, "--threads", 1, "-o", model)
    assert result.status == 0, result.err
    signal, ratio = load_model(study.model), load_model(model)
    assert ratio.metadata.preset == "mr-flow"
    pairs = zip(signal.flow.chart.parameters(), ratio.flow.chart.parameters(), strict=True)
    assert all(bool((a == b).all()) for a, b in pairs)


def test_a_chart_and_another_model_are_refused(refused, study, tmp_path):
    train = ["train", study.events, "--chart-of", study.model, "-o", tmp_path / "m.mflow"]
    message = refused(tmp_path, *train, "--model", "pie")
    assert "expected m-flow, the model of --chart-of" in message
    assert "found --model pie; leave it out" in message
    assert "--algorithm beside it" in refused(tmp_path, *train, "--algorithm", "scandal")
    assert "--latent-dim beside it" in refused(tmp_path, *train, "--latent-dim", 1)
