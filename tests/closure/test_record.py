"""The closure record: verdicts, and a file that comes back as it went."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lfi_mflow.closure.record import ClosureReport, Metric, Target
from lfi_mflow.errors import FileFormatError


@pytest.fixture
def report():
    return ClosureReport(
        metrics={
            "ood_auc": Metric.judged(0.995, 0.002, Target(0.99, "at_least")),
            "posterior_mmd2": Metric.judged(0.2, None, Target(0.005, "at_most")),
            "sbc_p_value": Metric.judged(0.4),
        },
        provenance={"seed": 3, "when": "now"},
        curves={"points": np.array([[1 / 3, np.nan], [np.inf, 2.0]]), "n": np.int64(3)},
        skipped={"log_density_error": "the likelihood is not known"},
    )


@pytest.mark.parametrize(
    ("value", "comparison", "passed"),
    [
        (1.0, "at_most", True),
        (1.1, "at_most", False),
        (1.0, "at_least", True),
        (0.9, "at_least", False),
        (math.nan, "at_most", False),
        (math.nan, "at_least", False),
    ],
)
def test_verdict(value, comparison, passed):
    metric = Metric.judged(value, 0.1, Target(1.0, comparison))
    assert (metric.passed, metric.target, metric.comparison) == (passed, 1.0, comparison)


def test_without_target_there_is_no_verdict(report):
    assert report.metrics["sbc_p_value"].passed is None
    assert report.failed == ("posterior_mmd2",)


def test_round_trip(report, tmp_path):
    path = tmp_path / "closure.json"
    report.save(path)
    loaded = ClosureReport.load(path)
    assert loaded.metrics == report.metrics
    assert (loaded.provenance, loaded.skipped) == (report.provenance, report.skipped)
    assert loaded.curves == {"points": [[0.333333, None], [None, 2.0]], "n": 3}


def test_file_has_the_documented_keys_and_no_nan(report, tmp_path):
    path = tmp_path / "closure.json"
    metrics = {**report.metrics, "manifold_distance": Metric.judged(math.nan, math.inf)}
    ClosureReport(metrics, curves=report.curves).save(path)
    text = path.read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    row = json.loads(text)["metrics"]["manifold_distance"]
    assert {"value", "uncertainty", "target", "passed"} <= set(row)
    assert row["value"] is None
    assert math.isnan(ClosureReport.load(path).metrics["manifold_distance"].value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"metrics": 3}', '{"metrics": {"a": {"worth": 1}}}']
)
def test_another_file_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "closure.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="closure report") as caught:
        ClosureReport.load(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        ClosureReport.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("value", "uncertainty", "passed"),
    [(0.74, 0.02, True), (0.62, 0.02, False), (0.75, 0.02, False), (0.68, None, True)],
)
def test_compatible_is_within_three_standard_errors(value, uncertainty, passed):
    target = Target(0.6827 if uncertainty else 0.68, "compatible_with")
    metric = Metric.judged(value, uncertainty, target)
    assert metric.passed is passed
    assert Metric.judged(math.nan, uncertainty, target).passed is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=JSON, row=st.dictionaries(st.sampled_from(["value", "target", "passed"]), JSON))
def test_any_json_is_a_report_or_refused(value, row):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "closure.json"
        for table in (value, {"metrics": value}, {"metrics": {"a": row}, "curves": value}):
            path.write_text(json.dumps(table))
            try:
                report = ClosureReport.load(path)
            except FileFormatError:
                continue
            assert all(isinstance(metric.value, float) for metric in report.metrics.values())
