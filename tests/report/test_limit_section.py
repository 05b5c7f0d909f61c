"""Confidence regions on the page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lfi_mflow.inference.limits_file import Limits
from lfi_mflow.report import render_report
from lfi_mflow.report.limit_section import limits_section

VALUES = np.linspace(-1, 1, 21)


@pytest.fixture
def limits():
    row = {
        "best_fit": 0.1234,
        "error": 0.21,
        "values": VALUES,
        "statistic": 9 * (VALUES**2 - 0.25) ** 2,
        "asymptotic": {"68": [[-0.61, -0.32], [0.33, 0.62]], "95": [[-0.8, 0.8]]},
        "neyman": {"68": [], "95": [[-0.777, 0.9]]},
        "credible": {"68": [-0.1, 0.3], "95": [-0.4, 0.6]},
        "critical": {"asymptotic": {"68": 1.0, "95": 3.8}, "neyman": {"68": 1 + 0 * VALUES}},
    }
    return Limits(
        {"theta": row},
        nuisances={"nu": {"best_fit": 0.05, "error": 0.9, "measured": 0.0, "width": 1.0}},
        data={"kind": "observed", "events": 12.0, "shape_only": False, "expected": 11.5},
        information={"errors": {"theta": 0.19}},
        toys={"number": 300, "seed": 7, "source": "surrogate"},
    )


def test_the_numbers_are_on_the_page(limits):
    page = limits_section(limits, {"theta": r"$\theta$"})
    for words in (
        "Limits of 12 observed events",
        "11.5 are expected",
        "0.1234",
        "[−0.610, −0.320] and [0.330, 0.620]",
        "[−0.777, 0.900]",
        "credible, nuisances marginalised",
        "300 toys of the surrogate at each point, seed 7",
        "theta 0.19",
        "0.00 ± 1.00",
    ):
        assert words in page
    assert page.count("<img") == 1


def test_without_toys_it_warns(limits):
    page = limits_section(dataclasses.replace(limits, toys={}), {})
    assert "with few events they may cover too much or little" in page


def test_the_section_is_part_of_the_report(model, limits):
    page = render_report(model, limits=limits)
    assert '<section id="limits">' in page
    assert '<a href="#limits">Limits</a>' in page
    assert '<section id="limits">' not in render_report(model)
