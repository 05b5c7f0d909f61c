import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata
from lfi_mflow.inference import infer_by_ensemble, infer_posterior
from lfi_mflow.simulation import Observable, Parameter, Prior, Uniform

PRIOR = Prior((Uniform(-3.0, 3.0),))


@pytest.fixture
def model(gaussian_flow):
    """A conjugate model whose events seem to be shifted."""

    def make(shift, observable="x"):
        class ShiftedFlow(gaussian_flow):
            def log_prob_latent(self, u, theta):
                return super().log_prob_latent(u, theta + shift)

        events = EventMetadata((Parameter("theta", -3.0, 3.0),), (Observable(observable),))
        metadata = ModelMetadata("m-flow", Dimensions(1, 1, 1), {}, events, "", 100, training={})
        return Model(ShiftedFlow(1).double(), metadata)

    return make


@pytest.mark.parametrize("method", ["grid", "mcmc"])
def test_the_spread_is_that_of_the_members(model, conjugate, method):
    models = [model(shift) for shift in (-0.1, 0.0, 0.1)]
    x = conjugate(50).x
    row = infer_by_ensemble(models, x, prior=PRIOR, method=method).statistics["theta"]
    alone = infer_posterior(models[1], x, prior=PRIOR, method="grid").statistics["theta"]
    tolerance = 0.1 if method == "mcmc" else 1e-3
    assert row["mean_spread"] == pytest.approx(0.1, rel=tolerance)
    assert row["sd_spread"] < tolerance * alone["sd"]
    assert row["mean"] == pytest.approx(alone["mean"], abs=0.2 * alone["sd"])
    assert row["sd"] > 0.98 * alone["sd"]


def test_members_have_to_belong_together(model, conjugate):
    x = conjugate(5).x
    with pytest.raises(ModelMismatchError, match="same observables: x, found y in model 2"):
        infer_by_ensemble([model(0.0), model(0.0, "y")], x, prior=PRIOR)
    with pytest.raises(ModelMismatchError, match="at least two models"):
        infer_by_ensemble([model(0.0)], x, prior=PRIOR)


def test_the_worst_judgement_counts(model, conjugate):
    models = [model(0.0), model(0.0)]
    reference = {"distance_quantiles": np.linspace(0.0, 1.0, 1001).tolist(), "n_validation": 500}
    far = {"distance_quantiles": np.linspace(0.0, 1.0, 1001).tolist(), "n_validation": 500}
    models = [
        Model(item.flow, dataclasses.replace(item.metadata, training=training))
        for item, training in zip(models, (reference, far), strict=True)
    ]
    alone = infer_posterior(models[0], conjugate(20).x, prior=PRIOR, method="grid")
    both = infer_by_ensemble(models, conjugate(20).x, prior=PRIOR, method="grid")
    expected = min(1.0, 2 * alone.off_manifold_p_value)
    assert both.off_manifold_p_value == pytest.approx(expected)
    assert torch.isfinite(torch.tensor(both.draws)).all()
