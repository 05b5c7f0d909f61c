"""Warnings appear when a conclusion is at stake, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import ClosureReport, Metric, Target
from lfi_mflow.report.cautions import closure_cautions, data_cautions, posterior_cautions
from lfi_mflow.simulation import Normal, Prior, Uniform

PRIOR = Prior((Uniform(-1.0, 1.0),))


def _summary(p_value=0.5, **row):
    good = {"mean": 0.0, "r_hat": 1.001, "ess": 2000.0}
    return {"parameters": {"theta": {**good, **row}}, "off_manifold_p_value": p_value}


def _failed_sbc(ranks):
    metric = Metric.judged(1e-4, None, Target(0.01, "at_least"))
    curves = {"sbc": {"ranks": ranks, "n_draws": 99}}
    return [c.words for c in closure_cautions(ClosureReport({"sbc_p_value": metric}, {}, curves))]


def test_a_good_posterior_has_none(rng):
    assert not list(posterior_cautions(_summary(), 0.2 * rng.normal(size=(4000, 1)), PRIOR))


@pytest.mark.parametrize(
    ("summary", "level", "words"),
    [
        (_summary(p_value=0.001), "serious", "do not lie on the learned manifold"),
        (_summary(r_hat=1.05), "serious", "have not mixed"),
        (_summary(ess=100.0), "note", "only 100 independent"),
    ],
)
def test_a_bad_posterior_is_explained(summary, level, words, rng):
    (caution,) = posterior_cautions(summary, 0.2 * rng.normal(size=(4000, 1)), PRIOR)
    assert caution.level == level
    assert words in caution.words


def test_diagnostics_that_are_unknown_are_not_invented(rng):
    summary = _summary(p_value=None, r_hat=None, ess=None)
    assert not list(posterior_cautions(summary, 0.2 * rng.normal(size=(4000, 1)), None))


def test_a_posterior_cut_by_its_prior_is_noted(rng):
    cut = 1.0 - np.abs(0.2 * rng.normal(size=(4000, 1)))
    (caution,) = posterior_cautions(_summary(), cut, PRIOR)
    assert "of the prior: the prior cuts it" in caution.words
    flat = rng.uniform(-1, 1, size=(4000, 1))
    assert not list(posterior_cautions(_summary(), flat, PRIOR))
    assert not list(posterior_cautions(_summary(), cut, Prior((Normal(0.0, 1.0),))))


@pytest.mark.parametrize(
    ("shape", "words"),
    [((0.5, 0.5), "too narrow"), ((3.0, 3.0), "too wide"), ((2.0, 1.0), "shifted")],
)
def test_the_ranks_are_read(shape, words, rng):
    ranks = (100 * rng.beta(*shape, size=(300, 1))).astype(int)
    assert any(words in line for line in _failed_sbc(ranks))


def test_a_model_without_closure_is_a_serious_matter():
    assert [caution.level for caution in closure_cautions(None)] == ["serious"]


def test_lost_events_are_counted():
    assert [c.words for c in data_cautions({"non_finite": 4, "missing": 0})] == [
        "Training data: 4 events counted as non finite."
    ]
