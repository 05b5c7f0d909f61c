"""The whole closure test: silent on an exact flow, loud on each fault, each by the right metric."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.closure import METRICS, ClosureReport, ClosureSettings, Target, run_closure
from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, ModelMismatchError, UnknownNameError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata
from lfi_mflow.simulation import Events, Normal, Prior, Uniform
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

CALIBRATED = {"likelihood_calibration", "distance_theta_dependence"}
POSTERIOR = {
    "posterior_mmd2",
    "log_density_error",
    "sbc_p_value",
    "tarp_p_value",
    "lc2st_p_value",
    "likelihood_calibration",
    "c2st",
}
NO_RATIO = {
    "ratio_calibration": "the model is no ratio estimator",
    "ratio_normalisation": "the model is no ratio estimator",
}
SMALL = ClosureSettings(
    model_samples=1_000,
    test_events=300,
    density_events=300,
    observed_sets=3,
    posterior_samples=1_500,
    calibration_sets=200,
    calibration_draws=199,
    ratio_sets=600,
    classifier_samples=200,
    surface_points=50,
)


def _model(flow, surface, distances):
    """Return the flow with what its file says of the distances of validation events."""
    metadata = ModelMetadata(
        preset="m-flow",
        dimensions=Dimensions(3, 2, 1),
        settings={},
        events=EventMetadata(surface.parameters, surface.observables),
        digest="",
        n_events=1_000,
        training={"distance_quantiles": np.quantile(distances, np.linspace(0, 1, 1001)).tolist()},
        history={},
        provenance={},
    )
    return Model(flow, metadata)


@pytest.fixture(scope="module")
def exact(make_flow, surface, prior):
    model = _model(make_flow(), surface, np.linspace(0.0, 1e-6, 100))
    return run_closure(model, surface, prior, seed=1, settings=SMALL)


def test_an_exact_flow_meets_every_target(exact):
    assert {*exact.metrics, *exact.skipped} == set(METRICS)
    assert exact.skipped == {
        "kinematic_closure": "no relations between observables of 'polynomial-surface'",
        **NO_RATIO,
    }
    assert exact.failed == ()
    assert exact.metrics["manifold_distance"].value < 1e-12
    assert exact.metrics["reconstruction_error"].value < 1e-12
    assert exact.metrics["log_density_error"].value < 1e-12
    # The spread of the unbiased estimate with 1,500 samples is about 5e-4.
    assert abs(exact.metrics["posterior_mmd2"].value) < 0.002
    assert abs(exact.metrics["posterior_kl"].value) < 1e-9
    assert exact.metrics["ood_auc"].value == pytest.approx(1.0)
    assert exact.metrics["log_posterior_at_truth_error"].value < 0.02
    at_truth = [exact.metrics[f"log_posterior_at_truth{end}"].value for end in ("", "_exact")]
    assert at_truth[0] == pytest.approx(at_truth[1], abs=0.02)
    for name in exact.metrics:
        if name.endswith("p_value") or name in CALIBRATED:
            assert exact.metrics[name].value > 0.01
    for name, level in (("coverage_68", 0.6827), ("coverage_95", 0.95)):
        metric = exact.metrics[name]
        assert metric.uncertainty == pytest.approx(np.sqrt(level * (1 - level) / 200))
        assert metric.value == pytest.approx(level, abs=3 * metric.uncertainty)
    assert exact.metrics["c2st"].value == pytest.approx(0.5, abs=0.05)


def test_curves_hold_what_figures_need(exact):
    curves = exact.curves
    assert np.shape(curves["surface"]["truth"]["x"]) == (50, 3)
    assert set(curves["surface"]["model"]) == {"x", "log_prob", "distance"}
    assert np.shape(curves["sbc"]["ranks"]) == (200, 1)
    assert curves["sbc"]["n_draws"] == curves["tarp"]["n_draws"] == 199
    assert np.shape(curves["coverage"]["hpd"]) == np.shape(curves["tarp"]["ranks"]) == (200,)
    assert np.shape(curves["coverage"]["central"]) == (200, 1)
    assert np.shape(curves["lc2st"]["p_value"]) == (200,)
    assert curves["likelihood_calibration"]["slope"] == pytest.approx(1.0, abs=0.5)
    assert np.shape(curves["c2st"]) == (3,)
    assert set(curves["ood"]) == {"reconstruction_error", "log_prob"}
    assert len(curves["posterior"]) == len(curves["posterior_mmd2"]) == 3
    for row in curves["posterior"]:
        assert (row["parameter"], row["truth"]) == ("theta", 0.0)
        step = np.diff(row["theta"])
        for density in (row["model"], row["exact"]):
            assert np.sum(0.5 * (density[1:] + density[:-1]) * step) == pytest.approx(1, abs=0.02)
        assert np.allclose(row["model"], row["exact"], atol=0.02 * np.max(row["exact"]))


def test_the_report_survives_its_file(exact, tmp_path):
    exact.save(tmp_path / "closure.json")
    loaded = ClosureReport.load(tmp_path / "closure.json")
    assert loaded.metrics == exact.metrics
    assert loaded.provenance["seed"] == 1
    assert loaded.provenance["sizes"]["observed_events"] == 20


def test_seed_and_choice_of_metrics(exact, make_flow, surface, prior):
    names = ["posterior_mmd2", "manifold_distance", "tarp_p_value", "coverage_95"]
    state = torch.get_rng_state()
    again = run_closure(make_flow(), surface, prior, metrics=names, seed=1, settings=SMALL)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(again.metrics) == set(names)
    assert all(again.metrics[name] == exact.metrics[name] for name in names)
    other = run_closure(make_flow(), surface, prior, metrics=names[:1], seed=2, settings=SMALL)
    assert other.metrics["posterior_mmd2"].value != exact.metrics["posterior_mmd2"].value


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("fault", "missed"),
    [
        ({"lift": 0.02}, {"manifold_distance", "reconstruction_error", "ood_auc"}),
        ({"theta_shift": 0.35}, POSTERIOR | {"coverage_68"}),
        ({"power": 3.0}, POSTERIOR | {"coverage_68", "coverage_95"}),
        ({"power": 0.3}, POSTERIOR | {"coverage_68"}),
        ({"log_offset": 0.1}, {"log_density_error"}),
    ],
)
def test_each_fault_is_caught_by_its_metrics(fault, missed, make_flow, surface, prior):
    report = run_closure(make_flow(**fault), surface, prior, seed=3, settings=SMALL)
    assert set(report.failed) == missed


def test_the_size_of_a_fault_is_measured(make_flow, surface, prior):
    flow = make_flow(lift=0.02, log_offset=0.1)
    report = run_closure(flow, surface, prior, seed=3, settings=SMALL)
    for name, size in (
        ("manifold_distance", 0.02),
        ("reconstruction_error", 0.02),
        ("log_density_error", 0.1),
    ):
        assert report.metrics[name].value == pytest.approx(size, rel=1e-6)


@pytest.mark.statistical
def test_events_of_another_simulator_are_off_the_manifold(make_flow, surface, prior, rng):
    flow = make_flow(lift=0.02)
    for distances, passed in ((np.full(200, 0.02 + 1e-9), True), (np.full(200, 0.01), False)):
        model = _model(flow, surface, distances * (1 + 1e-3 * rng.uniform(size=200)))
        report = run_closure(
            model, surface, prior, metrics=["off_manifold_p_value"], settings=SMALL
        )
        assert report.metrics["off_manifold_p_value"].passed is passed


def test_targets_can_be_replaced(make_flow, surface, prior):
    targets = {"manifold_distance": Target(0.05, "at_most")}
    report = run_closure(
        make_flow(lift=0.02),
        surface,
        prior,
        metrics=["manifold_distance", "reconstruction_error"],
        settings=SMALL,
        targets=targets,
    )
    assert report.metrics["manifold_distance"].passed is True
    assert report.metrics["reconstruction_error"].passed is None


def test_what_a_simulator_does_not_know_is_skipped_and_said(make_flow, opaque, prior):
    report = run_closure(make_flow(), opaque, prior, seed=1, settings=SMALL)
    assert set(report.metrics) == {
        "reconstruction_error",
        "sbc_p_value",
        "coverage_68",
        "coverage_95",
        "tarp_p_value",
        "lc2st_p_value",
        "likelihood_calibration",
        "distance_theta_dependence",
        "log_posterior_at_truth",
    }
    assert report.metrics["sbc_p_value"].passed is True
    assert report.skipped == {
        "manifold_distance": "the manifold of 'opaque' is not known",
        "posterior_mmd2": "the likelihood of 'opaque' is not known",
        "posterior_kl": "the likelihood of 'opaque' is not known",
        "ood_auc": "the manifold of 'opaque' is not known",
        "log_density_error": "the density of 'opaque' is not known",
        "kinematic_closure": "no relations between observables of 'opaque'",
        "log_posterior_at_truth_exact": "the likelihood of 'opaque' is not known",
        "log_posterior_at_truth_error": "the likelihood of 'opaque' is not known",
        "c2st": "the likelihood of 'opaque' is not known",
        "off_manifold_p_value": "the distances of the model's validation events are not known",
        **NO_RATIO,
    }
    assert set(report.curves["surface"]["model"]) == {"x"}


def test_densities_of_different_measures_are_not_compared(make_flow, surface, prior):
    flow = make_flow()
    flow.reference = "lebesgue"
    report = run_closure(flow, surface, prior, metrics=["log_density_error"], settings=SMALL)
    assert "lebesgue measure" in report.skipped["log_density_error"]


def test_mistakes_are_named(make_flow, surface, prior):
    with pytest.raises(UnknownNameError, match="ood_auc"):
        run_closure(make_flow(), surface, prior, metrics=["ood"])
    with pytest.raises(ModelMismatchError, match="in the prior"):
        run_closure(make_flow(), surface, Prior((Uniform(-1, 1), Normal(0, 1))))
    with pytest.raises(ConfigError, match="test_events >= 2"):
        ClosureSettings(test_events=0)
    wrong = dataclasses.replace(SMALL, reference_theta=(0.0, 1.0))
    with pytest.raises(ConfigError, match="reference_theta"):
        run_closure(make_flow(), surface, prior, settings=wrong)


def test_reference_theta_is_within_the_prior(make_flow, surface):
    narrow = Prior((Uniform(0.2, 0.6),))
    for given, expected in ((None, 0.4), ((0.5,), 0.5)):
        settings = dataclasses.replace(SMALL, reference_theta=given)
        report = run_closure(
            make_flow(), surface, narrow, metrics=["posterior_mmd2"], settings=settings
        )
        assert report.curves["posterior"][0]["truth"] == pytest.approx(expected)


class Weighted:
    """The surface with events too many, weighted down again; only its ratios are known."""

    name = "weighted-surface"
    test_points = ((-0.5,), (0.5,), (3.0,))  # the last is outside the prior
    sign = 1.0

    def __init__(self):
        self.exact = PolynomialSurface()
        self.parameters, self.observables = self.exact.parameters, self.exact.observables
        self.manifold_dim = 2

    def simulate(self, theta, rng):
        """Every other event is of theta = 0, to be weighted away."""
        wrong = rng.random(len(theta)) < 0.5
        events = self.exact.simulate(np.where(wrong[:, None], 0.0, theta), rng)
        return Events(theta, events.x, weight=self.sign * np.where(wrong, 0.0, 2.0))

    def log_ratio(self, x, theta, reference):
        below = self.exact.log_prob(x, np.broadcast_to(reference, theta.shape))
        return self.exact.log_prob(x, theta) - below

    def kinematic_closure(self, x):
        return self.exact.distance(x)


@pytest.mark.statistical
def test_a_weighted_simulator_that_knows_ratios_only(make_flow, prior):
    names = ["posterior_mmd2", "c2st", "sbc_p_value", "coverage_68", "kinematic_closure"]
    names += ["log_posterior_at_truth_error", "log_density_error", "posterior_kl"]
    settings = dataclasses.replace(SMALL, observed_sets=2)
    run = run_closure(make_flow(), Weighted(), prior, metrics=names, seed=5, settings=settings)
    assert set(run.skipped) == {"log_density_error"}
    assert abs(run.metrics["posterior_mmd2"].value) < 0.002
    assert run.metrics["c2st"].value == pytest.approx(0.5, abs=0.06)
    assert run.metrics["sbc_p_value"].passed
    assert run.metrics["coverage_68"].passed
    assert run.metrics["log_posterior_at_truth_error"].value < 0.02
    assert abs(run.metrics["posterior_kl"].value) < 1e-9
    assert np.shape(run.curves["posterior_kl"]) == (4,)
    assert run.metrics["kinematic_closure"].value < 1e-12
    assert [row["truth"] for row in run.curves["posterior"]] == [-0.5, -0.5, 0.5, 0.5]


def test_signed_events_of_a_simulator_are_refused(make_flow, prior):
    signed = Weighted()
    signed.sign = -1.0
    with pytest.raises(ConfigError, match="finite weights >= 0 from the simulator"):
        run_closure(make_flow(), signed, prior, metrics=["sbc_p_value"], settings=SMALL)


def test_relations_that_generated_events_miss_are_measured(make_flow, prior):
    flow = make_flow(lift=0.02)
    report = run_closure(
        flow, Weighted(), prior, metrics=["kinematic_closure"], seed=3, settings=SMALL
    )
    assert report.metrics["kinematic_closure"].value == pytest.approx(0.02, rel=1e-6)


def test_posteriors_are_tested_at_the_points_of_the_settings(make_flow, surface, prior):
    settings = dataclasses.replace(SMALL, observed_sets=1, test_points=((0.1,), (0.7,)))
    run = run_closure(
        make_flow(),
        surface,
        prior,
        metrics=["log_posterior_at_truth", "posterior_mmd2"],
        seed=1,
        settings=settings,
    )
    assert [row["truth"] for row in run.curves["posterior"]] == [0.1, 0.7]
    assert np.shape(run.curves["log_posterior_at_truth"]) == (2,)
    wrong = dataclasses.replace(settings, test_points=((0.1, 0.2),))
    with pytest.raises(ConfigError, match="test_points with 1 values each"):
        run_closure(make_flow(), surface, prior, metrics=["posterior_mmd2"], settings=wrong)
    with pytest.raises(ConfigError, match="truth_bandwidth > 0"):
        ClosureSettings(truth_bandwidth=0.0)
