"""Figures of confidence regions."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.plots import limit_contour_figure, limit_profile_figure, svg
from lfi_mflow.plots.style import EXACT, MODEL

VALUES = np.linspace(-1, 1, 41)


@pytest.fixture
def parameters():
    def row(best):
        return {
            "best_fit": best,
            "values": VALUES,
            "statistic": ((VALUES - best) / 0.2) ** 2,
            "critical": {
                "asymptotic": {"68": 0.989, "95": 3.841},
                "neyman": {"68": 1.2 + 0 * VALUES, "95": 4.0 + VALUES},
            },
        }

    return {"a": row(0.1), "b": row(-0.3)}


@pytest.fixture
def region(parameters):
    parts = [row["statistic"] for row in parameters.values()]
    return {
        "statistic": parts[0][:, None] + parts[1][None],
        "critical": {
            "asymptotic": {"68": 2.279, "95": 5.991},
            "neyman": {"68": np.full((41, 41), 2.5), "95": np.full((41, 41), 7.0)},
        },
    }


def test_profiles_and_their_critical_values_are_drawn(parameters):
    figure = limit_profile_figure(parameters, ["a", "b"])
    assert len(figure.axes) == 2
    profile, *lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(profile.get_ydata(), parameters["a"]["statistic"])
    assert [line.get_label() for line in lines] == [
        "68 % asymptotic",
        "95 % asymptotic",
        "68 % by toys",
        "95 % by toys",
    ]
    assert [line.get_color() for line in lines] == [EXACT, EXACT, MODEL, MODEL]
    low, high = figure.axes[0].get_xlim()
    assert -0.6 < low < high < 0.8
    assert svg(figure) == svg(limit_profile_figure(parameters, ["a", "b"]))


def test_contours_are_where_the_statistic_is_critical(parameters, region):
    figure = limit_contour_figure(parameters, region, ["a", "b"], truth=(0.0, 0.0))
    (axes,) = figure.axes
    assert len(axes.collections) == 4
    for contour, critical in zip(axes.collections, (2.279, 5.991, 2.5, 7.0), strict=True):
        vertices = np.concatenate([path.vertices for path in contour.get_paths()])
        radius = np.hypot(vertices[:, 0] - 0.1, vertices[:, 1] + 0.3) / 0.2
        np.testing.assert_allclose(radius, np.sqrt(critical), rtol=0.02)
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels[-2:] == ["best fit", "Asimov point"]


def test_what_cannot_be_drawn_says_so(parameters):
    one = {"a": parameters["a"]}
    assert "two parameters" in limit_contour_figure(one, {}, ["a"]).texts[0].get_text()
    assert limit_profile_figure({}, []).texts


def test_missing_values_are_beyond_every_line(parameters):
    parameters["a"]["statistic"] = [None, *parameters["a"]["statistic"][1:]]
    line = limit_profile_figure(parameters, ["a", "b"]).axes[0].get_lines()[0]
    assert np.isinf(line.get_ydata()[0])
