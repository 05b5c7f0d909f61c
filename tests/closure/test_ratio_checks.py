"""The closure test of ratio estimators: silent on exact ones, and faults are found and mended."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.closure import METRICS, ClosureSettings, recalibrate, run_closure
from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, RatioEstimator, build_flow, load_model
from lfi_mflow.flows.model_file import save_model
from lfi_mflow.simulation import Prior, Uniform
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

SETTINGS = {"network": {"hidden": 4, "blocks": 1}}
SMALL = ClosureSettings(
    observed_sets=2,
    posterior_samples=1_000,
    calibration_sets=150,
    calibration_draws=199,
    ratio_sets=600,
    ratio_events=8_000,
    classifier_samples=200,
)
WITHOUT_DENSITY = {
    "manifold_distance": "the model generates no events",
    "reconstruction_error": "the model has no encoder",
    "ood_auc": "the model has no encoder",
    "log_density_error": "the model has no density",
    "kinematic_closure": "no relations between observables of 'polynomial-surface'",
    "off_manifold_p_value": "the model has no encoder",
    "distance_theta_dependence": "the model has no encoder",
}
RATIO = ("ratio_calibration", "ratio_normalisation")


class SurfaceRatio(RatioEstimator):
    """The exact ratio of the polynomial surface, with a calibration that can be wrong."""

    density = None

    def standardise_events(self, x):
        return self.density.encode(x)

    def log_ratio_standardised(self, z, theta):
        below = torch.full((1,), -1.0, dtype=z.dtype)
        if self.denominator == "marginal":
            points = torch.linspace(-1, 1, 101, dtype=z.dtype)[1::2, None]
            terms = self.density.log_prob_latent(z[..., None, :], points)
            divisor = terms.logsumexp(dim=-1) - np.log(50)
        else:
            divisor = self.density.log_prob_latent(z, below)
        return self.slope * (self.density.log_prob_latent(z, theta) - divisor) + self.offset


@pytest.fixture
def make_model(make_flow, surface, prior):
    """A function that makes an exact estimator whose calibration is off."""

    def make(name="nre-c", slope=1.0, offset=0.0):
        flow = build_flow(name, Dimensions(3, 3, 1), SETTINGS).double()
        flow.__class__ = SurfaceRatio
        object.__setattr__(flow, "density", make_flow())
        flow.recalibrate(slope, offset)
        events = EventMetadata(surface.parameters, surface.observables, prior=prior.to_table())
        metadata = ModelMetadata(name, Dimensions(3, 3, 1), SETTINGS, events, "ab", 1_000)
        return Model(flow, metadata)

    return make


@pytest.fixture(scope="module")
def gold():
    return PolynomialSurface(reference=-1.0)


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["nre-c", "alice"])
def test_an_exact_ratio_meets_every_target(make_model, gold, prior, name):
    """With all that needs posteriors only; the rest is skipped, and says why."""
    report = run_closure(make_model(name), gold, prior, seed=1, settings=SMALL)
    assert report.skipped == WITHOUT_DENSITY
    assert set(report.metrics) == set(METRICS) - set(WITHOUT_DENSITY)
    assert report.failed == ()
    assert report.metrics["ratio_normalisation"].value == pytest.approx(1.0, abs=0.05)
    assert "surface" not in report.curves
    curve = report.curves["reliability"]
    assert np.shape(curve["claimed"]) == np.shape(curve["observed"]) == (20,)
    assert curve["slope"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["nre-c", "alice"])
@pytest.mark.parametrize(
    ("fault", "missed"),
    [
        ({"slope": 2.0}, set(RATIO)),
        ({"slope": 0.5}, {"ratio_calibration"}),
        ({"offset": 0.3}, set(RATIO)),
    ],
)
def test_faults_are_found_and_mended(make_model, gold, prior, tmp_path, name, fault, missed):
    """A recalibrated estimator meets the targets that the old one missed."""
    model = make_model(name, **fault)
    report = run_closure(model, gold, prior, metrics=RATIO, seed=2, settings=SMALL)
    assert missed <= set(report.failed)
    mended, found = recalibrate(model, gold, prior, events=40_000, seed=3)
    assert found.p_value < 1e-3
    # the calibration is back where it was
    assert mended.flow.slope.item() == pytest.approx(1.0, abs=0.1)
    assert mended.flow.offset.item() == pytest.approx(0.0, abs=0.05)
    assert model.flow.slope.item() == fault.get("slope", 1.0)
    again = run_closure(mended, gold, prior, metrics=RATIO, seed=4, settings=SMALL)
    assert again.failed == ()
    done = mended.metadata.training["recalibration"]
    assert done["slope"] == pytest.approx(found.slope.value)
    assert done["events"] == 40_000
    save_model(mended, tmp_path / "mended.mflow")
    loaded = load_model(tmp_path / "mended.mflow")
    assert torch.equal(loaded.flow.offset, mended.flow.offset)
    assert loaded.metadata.training["recalibration"] == done


@pytest.mark.statistical
def test_the_denominator_is_that_of_the_training(make_model, gold):
    """A prior of the closure test that is narrower does not change what the ratio is to."""
    narrow = Prior((Uniform(0.6, 1.0),))
    settings = dataclasses.replace(SMALL, ratio_events=20_000)
    report = run_closure(make_model(), gold, narrow, metrics=RATIO, seed=1, settings=settings)
    assert report.failed == ()


def test_what_the_ratio_is_to_has_to_be_known(make_model, surface, gold, prior, make_flow):
    """A simulator without joint ratios has no reference."""
    model = make_model("alice")
    report = run_closure(model, surface, prior, metrics=RATIO, settings=SMALL)
    reason = "'polynomial-surface' does not say what its ratios refer to"
    assert report.skipped == dict.fromkeys(RATIO, reason)
    with pytest.raises(ModelMismatchError, match="does not say what its ratios refer to"):
        recalibrate(model, surface, prior)
    density = Model(make_flow(), model.metadata)
    with pytest.raises(ModelMismatchError, match=r"found that the model is no ratio estimator"):
        recalibrate(density, gold, prior)


def test_an_estimator_that_knows_nothing_cannot_be_mended(make_model, gold, prior):
    model = make_model("alice")
    model.flow.slope.fill_(-1.0)
    with pytest.raises(ConfigError, match="train it again"):
        recalibrate(model, gold, prior, events=2_000)
