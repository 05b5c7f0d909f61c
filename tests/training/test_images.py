"""Training on images: the chart learns where its pixels are, and the file keeps it."""

import numpy as np
import pytest
import torch

from lfi_mflow.charts import PIXEL
from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import load_model, save_model
from lfi_mflow.simulation import Events, Observable
from lfi_mflow.training import Phase, RunConfig, train_model

NETWORK = {"hidden": 8, "blocks": 1}
IMAGE = {"height": 3, "width": 4, "filters": 4, "levels": 1}


@pytest.fixture
def events(tmp_path):
    """Images of 3 x 4 pixels with a bright row and a border that is nearly blank."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 1, 1)) * np.eye(3)[rng.integers(3, size=400)][:, :, None]
    x = np.tile(x, (1, 1, 4)) * [0.001, 1.0, 1.0, 0.001] + 1e-4 * rng.normal(size=(400, 3, 4))
    observables = tuple(Observable(f"x{i}", PIXEL) for i in range(12))
    metadata = EventMetadata(parameters=(), observables=observables)
    write_events(
        tmp_path / "images.h5",
        metadata,
        [Events(np.empty((400, 0)), x.reshape(400, 12))],
        force=True,
    )
    return tmp_path / "images.h5"


@pytest.fixture
def train(events):
    """Train a small model of images; the model."""

    def run(**image):
        settings = {"image": IMAGE | image, "encoder": NETWORK, "decoder": NETWORK}
        config = RunConfig(
            model="fif",
            latent_dim=2,
            settings=settings,
            phases=(Phase("all", "free-form", 2, 90, 1e-3),),
        )
        return train_model(events, config)

    return run


def test_the_chart_knows_the_axes_of_the_standardisation(train, tmp_path):
    model = train()
    flow = model.flow
    assert not torch.equal(flow.chart.axes, torch.eye(12))
    assert torch.equal(flow.chart.axes, flow.standardisation.axes)
    save_model(model, tmp_path / "a.mflow")
    assert torch.equal(load_model(tmp_path / "a.mflow").flow.chart.axes, flow.chart.axes)


def test_blank_borders_stay_blank(train):
    """The observables of an image share a scale, however different their spreads are."""
    standardisation = train().flow.standardisation
    assert len(standardisation.scale.unique()) == 1


def test_images_of_another_size_are_refused(train):
    with pytest.raises(ConfigError, match=r"1 x 4 x 4 .*= 16 observables, found d = 12"):
        train(height=4)
