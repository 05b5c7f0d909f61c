"""Numbers as a physicist would write them."""

from __future__ import annotations

import math

import pytest

from lfi_mflow.report.markup import number, table, tree, with_uncertainty


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0012345, "0.00123"),
        (-12.345, "−12.3"),
        (1234.5, "1234"),
        (0.0, "0.00"),
        (3.2e-7, "3.20×10<sup>−7</sup>"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "∞"),
    ],
)
def test_number(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "uncertainty", "expected"),
    [
        (0.0010423, 0.0000213, "0.001042 ± 0.000021"),
        (-0.00031, 0.0012, "−0.0003 ± 0.0012"),
        (0.99312, 0.0021, "0.9931 ± 0.0021"),
        (0.5, None, "0.500"),
        (0.5, 0.0, "0.500"),
        (math.inf, 0.1, "∞"),
        (12345.0, 678.0, "12345 ± 678"),
    ],
)
def test_uncertainty_sets_the_digits(value, uncertainty, expected):
    assert with_uncertainty(value, uncertainty) == expected


def test_tree_has_dotted_names_and_no_long_lists():
    page = tree({"a": {"b": 1, "c": list(range(50))}, "d": None})
    assert "<code>a.b</code></td><td>1<" in page
    assert "50 values" in page
    assert "<code>d</code></td><td>–<" in page


def test_heads_are_escaped():
    assert "a&lt;b" in table(["a<b"], [])
