"""Training curves."""

from __future__ import annotations

import pytest

from lfi_mflow.plots import training_figure


def test_training_scales_follow_the_losses(history):
    figure = training_figure(history)
    losses = [axes for axes in figure.axes if axes.get_legend()]
    assert [axes.get_yscale() for axes in losses] == ["log", "linear"]
    assert [axes.get_title(loc="left") for axes in losses] == ["chart phase", "latent phase"]
    kept = [line for line in losses[0].get_lines() if line.get_label() == "weights kept"]
    assert kept[0].get_xdata()[0] == 10.0


@pytest.mark.parametrize("history", [{}, {"phases": []}, {"phases": [{"name": "a", "epochs": []}]}])
def test_no_history_is_said(history):
    assert "no training history" in training_figure(history).texts[0].get_text()


def test_many_phases_take_several_rows(history):
    """An alternating training has ten; beside each other they could not be read."""
    many = {"phases": 5 * history["phases"]}
    figure = training_figure(many)
    assert len(figure.axes) == 20
    width, height = figure.get_size_inches()
    assert width < 4 * height
    two = training_figure(history).get_size_inches()
    assert (width, height) == (2 * two[0], 3 * two[1])


def test_the_values_of_a_surrogate_are_not_drawn(history):
    phases = [{**phase, "measures": "surrogate"} for phase in history["phases"]]
    figure = training_figure({"phases": phases})
    for axes in figure.axes:
        if axes.get_legend():
            labels = {line.get_label() for line in axes.get_lines()}
            assert "validation" in labels
            assert "training" not in labels
