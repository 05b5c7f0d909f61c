"""All figures of a posterior."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.cli.posterior_plots import NAMES
from lfi_mflow.inference import ObservedEvents, Posterior
from lfi_mflow.plots import FIGURES, posterior_figures

LABELS = ("a", "b")


@pytest.fixture
def posterior(rng):
    """A function that makes a posterior of p parameters by a method."""

    def make(p, method):
        draws = rng.normal(size=(4, 50, p))
        data = ObservedEvents(rng.normal(size=(20, 2)), LABELS, distance=rng.uniform(size=20))
        names = tuple(f"t{k}" for k in range(p))
        return Posterior(names, draws, -0.5 * (draws**2).sum(-1), method, {}, data)

    return make


@pytest.mark.parametrize(
    ("p", "method", "expected"),
    [
        (1, "grid", {"corner", "profile"}),
        (1, "mcmc", {"corner", "profile", "trace"}),
        (2, "mcmc", {"corner", "contours", "profile", "trace"}),
    ],
)
def test_what_there_is_to_draw_is_drawn(posterior, p, method, expected):
    found = posterior(p, method)
    labels = (found.parameters, LABELS)
    assert posterior_figures(found, labels).keys() == expected
    quantiles = np.linspace(0.0, 1.0, 1001)
    more = posterior_figures(found, labels, distance_quantiles=quantiles)
    assert more.keys() == expected | {"off_manifold"}
    assert more.keys() <= set(FIGURES)


def test_another_posterior_is_in_corner_and_contours(posterior):
    found = posterior(2, "mcmc")
    others = {"all events": found.draws.reshape(-1, 2) + 1.0}
    figures = posterior_figures(found, (found.parameters, LABELS), others=others)
    for name in ("corner", "contours"):
        words = [text.get_text() for text in figures[name].legends[0].get_texts()]
        assert "all events" in words


def test_the_command_line_knows_all_figures():
    assert NAMES == FIGURES
