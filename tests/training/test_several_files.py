"""Training on several event files as on the one that they would become."""

import dataclasses
import json

import pytest

from lfi_mflow.data import merge_events
from lfi_mflow.errors import ConfigError, Interrupted
from lfi_mflow.flows import weights_digest
from lfi_mflow.training import RunConfig, train_model


@pytest.fixture
def config(phases):
    return RunConfig(phases=phases, seed=1).with_epochs(2)


@pytest.fixture
def paths(write, make_events, metadata):
    return [
        write(make_events(n, seed=seed), f"{seed}.h5", dataclasses.replace(metadata, seed=seed))
        for seed, n in ((1, 300), (2, 100))
    ]


def test_the_weights_are_those_of_the_merged_file(paths, config, tmp_path):
    merge_events(paths, tmp_path / "merged.h5")
    model, expected = train_model(paths, config), train_model(tmp_path / "merged.h5", config)
    assert weights_digest(model.flow) == weights_digest(expected.flow)
    assert model.metadata.n_events == 400
    origin = json.loads(model.metadata.events.provenance["merged_from"])
    assert [row["events"] for row in origin] == [300, 100]


def test_they_can_stay_where_they_are(paths, config):
    streamed = dataclasses.replace(config, resident_bytes=0)
    model = train_model(paths, streamed)
    assert model.metadata.n_events == 400
    assert weights_digest(model.flow) != weights_digest(train_model(paths[0], streamed).flow)


def test_a_run_goes_on_with_the_same_files_in_the_same_order(paths, config, tmp_path):
    checkpoint = tmp_path / "checkpoint"

    def stop(progress):
        if progress.phase == "latent":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train_model(paths, config, checkpoint=checkpoint, progress=stop)
    with pytest.raises(ConfigError, match="a checkpoint of this run"):
        train_model(paths[::-1], config, checkpoint=checkpoint)
    resumed = train_model(paths, config, checkpoint=checkpoint)
    undisturbed = train_model(paths, config)
    assert weights_digest(resumed.flow) == weights_digest(undisturbed.flow)
