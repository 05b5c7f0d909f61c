"""Distances of validation events, weighted where the events are."""

import numpy as np
import pytest
import torch

from lfi_mflow.training.distances import distances_of_validation


def test_a_weight_counts_as_copies(make_flow, make_resident):
    weight = (torch.arange(400) % 3).double()
    events, flow = make_resident(400, 0.5, weight=weight), make_flow()
    flow.standardisation.fit(*events.moments(), ["", ""])
    found = distances_of_validation(flow, events)
    (held,) = events.validation_events()
    copies = (held.weight * weight.mean()).round().long()
    with torch.no_grad():
        distance = flow.reconstruction_error(held.prepared).repeat_interleave(copies).numpy()
        centre = held.prepared - flow.standardisation(torch.zeros(1, 2).double())
    expected = np.quantile(distance, np.linspace(0, 1, 1001), method="inverted_cdf")
    # at a few levels rounding decides between neighbours
    assert np.isclose(found["distance_quantiles"], expected, rtol=1e-12).mean() > 0.99
    far = centre.norm(dim=-1).repeat_interleave(copies).mean().item()
    assert found["centre_distance"] == pytest.approx(far)
    effective = (copies.sum() ** 2 / copies.square().sum()).item()
    assert found["n_reference"] == round(effective) < 130


def test_without_weights_all_events_are_the_reference(make_flow, make_resident):
    events, flow = make_resident(400, 0.5), make_flow()
    flow.standardisation.fit(*events.moments(), ["", ""])
    found = distances_of_validation(flow, events)
    (held,) = events.validation_events()
    with torch.no_grad():
        distance = flow.reconstruction_error(held.prepared).numpy()
    expected = np.quantile(distance, np.linspace(0, 1, 1001))
    np.testing.assert_allclose(found["distance_quantiles"], expected)
    assert found["n_reference"] == events.n_validation == 200
