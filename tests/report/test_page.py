"""The page stands alone, shows what the records hold, and hides nothing."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from lfi_mflow.closure import METRICS, ClosureReport, Metric, Target
from lfi_mflow.report import render_report, write_report
from lfi_mflow.report.metric_words import METRIC_WORDS, MISSED

VOID = {"meta", "img", "br", "link", "hr"}


class Outline(HTMLParser):
    """Open and close tags must match; collects what a reader sees and what is loaded."""

    def __init__(self):
        super().__init__()
        self.stack, self.sections, self.sources, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "section":
            self.sections.append(attributes["id"])
        self.sources += [attributes[key] for key in ("src", "href") if key in attributes]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.words.append(data)


def _read(page):
    outline = Outline()
    outline.feed(page)
    assert outline.stack == []
    return outline, re.sub(r"\s+", " ", " ".join(outline.words))


def test_everything_is_on_the_page(model, posterior, closure):
    outline, words = _read(render_report(model, posterior, closure))
    assert outline.sections == [
        "model",
        "closure",
        "warnings",
        "manifold",
        "posterior",
        "calibration",
        "observed",
        "off-manifold",
        "predictive",
        "training",
        "provenance",
    ]
    for expected in (
        "m-flow of polynomial-surface",
        "All 4 closure targets are met.",
        "0.001040 ± 0.000020",
        "≤ 0.0012",
        "≈ 0.6827",
        "share of the 68 % highest-density regions",
        "100,000",
        "95 s",
        "p-value of the observed events: 0.62",
        "ab12",
        "chart.layers",
        "3 events counted as nonfinite",
    ):
        assert expected in words


def test_the_page_needs_nothing_beside_itself(model, posterior, closure):
    page = render_report(model, posterior, closure)
    outline, _ = _read(page)
    assert all(source.startswith(("data:image/", "#")) for source in outline.sources)
    assert not re.search(r"url\(|@import|<script|<link", page)
    anchors = {source[1:] for source in outline.sources if source.startswith("#")}
    assert anchors <= set(outline.sections)


def test_a_missed_target_is_said_first(model, closure):
    metrics = {
        **closure.metrics,
        "posterior_mmd2": Metric.judged(0.3, 0.1, Target(0.005, "at_most")),
    }
    _, words = _read(render_report(model, None, dataclasses.replace(closure, metrics=metrics)))
    assert "4 of 5 closure targets are met." in words
    assert "1 warning to read first" in words
    assert "Posteriors of the model differ from the exact ones." in words
    assert "observed events" not in words


def test_without_closure_the_page_says_so(model):
    outline, words = _read(render_report(model))
    assert "not been through a closure test" in words
    assert {"closure", "posterior", "calibration"}.isdisjoint(outline.sections)
    # The learned manifold is drawn from the model alone.
    assert "manifold" in outline.sections


def test_every_metric_has_words():
    assert set(METRIC_WORDS) == set(MISSED) == set(METRICS)


def test_calibration_without_ranks_shows_the_coverage_alone(model, closure):
    curves = {"tarp": closure.curves["tarp"]}
    page = render_report(model, None, dataclasses.replace(closure, curves=curves))
    assert "coverage of credible regions" in page
    assert "distribution of the ranks" not in page


def test_skipped_metrics_stand_in_the_table(model):
    closure = ClosureReport(
        {"sbc_p_value": Metric.judged(0.5)}, skipped={"log_density_error": "it is not known"}
    )
    _, words = _read(render_report(model, None, closure))
    assert "not tested" in words
    assert "Not tested: log density error, because it is not known." in words
    assert "have no targets" in words


def test_text_from_files_is_escaped(model, closure):
    evil = "<script>alert(1)</script>"
    closure = dataclasses.replace(
        closure, provenance={"command": evil}, skipped={evil: evil}, metrics={}
    )
    events = dataclasses.replace(model.metadata.events, simulator=evil, prior=None)
    metadata = dataclasses.replace(model.metadata, events=events)
    page = render_report(dataclasses.replace(model, metadata=metadata), None, closure)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("suffix", ["report.html"])
def test_a_closure_file_makes_the_same_page(model, posterior, closure, tmp_path, suffix):
    closure.save(tmp_path / "closure.json")
    loaded = ClosureReport.load(tmp_path / "closure.json")
    write_report(tmp_path / suffix, model, posterior, loaded)
    page = (tmp_path / suffix).read_text(encoding="utf-8")
    outline, words = _read(page)
    _, direct = _read(render_report(model, posterior, closure))
    without_time = re.compile(r"Made by .*")
    assert without_time.sub("", words) == without_time.sub("", direct)
    assert len([source for source in outline.sources if source.startswith("data:")]) == 11


def test_independent_draws_have_no_trace(model, posterior, closure):
    chains, grid = (
        render_report(model, dataclasses.replace(posterior, method=method), closure)
        for method in ("mcmc", "grid")
    )
    assert "traces of the chains" in chains
    assert "traces of the chains" not in grid
