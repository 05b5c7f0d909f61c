"""A small real training: the polynomial surface of the published study."""

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import Phase, ResidentEvents, RunConfig, train_model
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

SETTINGS = {
    "chart": {"layers": 3, "bins": 8, "bound": 6.0, "hidden": 32, "blocks": 2},
    "latent": {"transforms": 2, "bins": 8, "hidden": 32},
}
PHASES = (
    Phase("chart", "reconstruction", 9, 500, 1e-2, 0.1, 1e-4, 1.0, 0),
    Phase("latent", "latent-likelihood", 6, 500, 5e-3, 0.1, 1e-4, 1.0, 0),
)


@pytest.mark.statistical
def test_a_few_hundred_steps_learn_the_surface(tmp_path):
    """RE a tenth of PCA's, and densities near the exact ones, after 324 + 216 steps."""
    surface, rng = PolynomialSurface(), np.random.default_rng(6)
    train = surface.simulate(rng.uniform(-1, 1, (20_000, 1)), rng)
    test = surface.simulate(rng.uniform(-1, 1, (2000, 1)), rng)
    about = EventMetadata(surface.parameters, surface.observables, manifold_dim=2)
    write_events(tmp_path / "events.h5", about, [train], force=False)
    model = train_model(tmp_path / "events.h5", RunConfig(settings=SETTINGS, phases=PHASES))

    x = torch.from_numpy(test.x)
    theta = torch.from_numpy(test.theta)
    plane = build_flow("m-flow", Dimensions(3, 2, 1), SETTINGS).double()
    resident = ResidentEvents(x, theta, validation_fraction=0.1, seed=0)
    plane.standardisation.fit(*resident.moments(), ["", "", ""])
    flow = model.flow
    with torch.no_grad():
        pca = plane.reconstruction_error(x).mean().item()
        learnt = flow.reconstruction_error(x.float()).mean().item()
        log_prob = flow.log_prob(x.float(), theta.float()).double()
    assert learnt < 0.1 * pca
    exact = torch.from_numpy(surface.log_prob(test.x, test.theta))
    assert (log_prob - exact).abs().median() < 0.2
