"""The record of a run."""

import dataclasses
import json

from lfi_mflow.training import EpochRecord, History, PhaseRecord


def _phase(name, losses):
    epochs = [EpochRecord(i, 2 * loss, loss, 1e-3, 0.5) for i, loss in enumerate(losses)]
    return PhaseRecord(name, "reconstruction", epochs=epochs)


def test_the_best_epoch_is_the_first_of_the_smallest():
    assert _phase("chart", [3.0, 1.0, 2.0, 1.0]).best_epoch == 1
    assert _phase("chart", [3.0]).best_epoch == 0


def test_a_phase_that_ends_above_its_start_diverged():
    assert _phase("all", [3.0, 1.0, 5.0]).diverged
    assert not _phase("all", [3.0, 1.0, 2.0]).diverged
    assert not _phase("all", [3.0, 1.0, 3.0]).diverged
    assert not _phase("all", [1.0, 2.0]).diverged  # too few to tell from noise
    overfitted = _phase("all", [3.0, 1.0, 5.0])
    overfitted.epochs[2] = dataclasses.replace(overfitted.epochs[2], train=0.1)
    assert not overfitted.diverged
    # a surrogate's training loss says nothing
    overfitted.measures = "surrogate"
    assert overfitted.diverged


def test_the_table_survives_json():
    parts = {"squared_distance": 0.25}
    joint = PhaseRecord(
        "all", "free-form", "best", [EpochRecord(0, 1.0, 2.0, 1e-3, 0.5, parts)], "surrogate"
    )
    history = History([_phase("chart", [3.0, 1 / 3, 2.0]), _phase("latent", [-1.0]), joint])
    table = json.loads(json.dumps(history.to_table()))
    assert History.from_table(table) == history
    chart = table["phases"][0]
    assert chart["best_epoch"] == 1
    assert chart["seconds"] == 1.5
    assert chart["diverged"] is False
    assert chart["epochs"][1]["validation"] == 1 / 3
    assert table["phases"][2]["epochs"][0]["validation_parts"] == parts


def test_histories_of_older_files_are_read():
    """They say nothing of surrogates, of which there were none."""
    history = History([_phase("chart", [3.0, 1.0])])
    table = history.to_table()
    del table["phases"][0]["measures"]
    for epoch in table["phases"][0]["epochs"]:
        del epoch["validation_parts"]
    assert History.from_table(table) == history
