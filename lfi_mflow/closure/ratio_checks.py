"""The checks of a ratio estimator event by event, and the remedy for what they find."""

from __future__ import annotations

import copy
import dataclasses
from typing import cast

import numpy as np
from scipy.special import logsumexp

from lfi_mflow.closure.check import Check, Outcome, needs_denominator
from lfi_mflow.closure.context import ClosureSettings, Study, check_dimensions
from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.closure.published import Array, Estimate
from lfi_mflow.closure.ratios import Reliability, ratio_normalisation, reliability
from lfi_mflow.closure.sbc import Integers
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows import Model
from lfi_mflow.flows.ratio import RatioEstimator
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import HasJoint, Prior, Simulator

__all__ = ["RATIO_CHECKS", "recalibrate"]

_STREAM, _RECALIBRATION_STREAM = 14, 15


def recalibrate(
    model: Model, simulator: Simulator, prior: Prior, *, events: int = 50_000, seed: int = 0
) -> tuple[Model, Reliability]:
    """Return a ratio estimator whose log-ratios are corrected to first order.

    It becomes b log r + a. The slope b is the one that makes the probabilities of the
    classifier come true; a then makes 1 of the mean of r over events of the denominator.
    All of them are simulated for it.

    Arguments:
        model: A model that is a ratio estimator; it stays as it is.
        simulator: The simulator that it was trained on.
        prior: Distribution of theta.
        events: Events to simulate.
        seed: Seed of all randomness.

    Returns:
        The new model, whose ``training`` says what was done, and how reliable the old
        one was.

    Raises:
        ModelMismatchError: If the model is no ratio estimator, if the denominator cannot be
            simulated, or model and simulator differ in their dimensions.
        ConfigError: If the estimator knows nothing: a line with a slope b <= 0 is no remedy.
    """
    check_dimensions(model.flow, simulator, prior)
    metadata = model.metadata
    settings = ClosureSettings(ratio_events=events)
    table = metadata.events.prior
    of_training = None if table is None else Prior.from_table(table)
    evaluator = FlowEvaluator(model.flow)
    study = Study(evaluator, simulator, prior, seed, settings, metadata.training, of_training)
    obstacle = needs_denominator(study)
    if obstacle is not None:
        raise ModelMismatchError(
            "a ratio estimator to recalibrate", f"that {obstacle}", "train one, as --model nre-c"
        )
    log_ratio, outcome = _ratio_events(study, study.rng(_RECALIBRATION_STREAM))
    found = reliability(log_ratio, outcome)
    slope = found.slope.value
    # Of the two calibrations of a, the one by the mean of r is the more precise.
    below = slope * log_ratio[outcome == 0]
    offset = float(np.log(len(below)) - logsumexp(below))
    flow = copy.deepcopy(cast("RatioEstimator", model.flow))
    flow.recalibrate(slope, offset)
    done = {"slope": slope, "offset": offset, "events": events, "seed": seed}
    training = {**metadata.training, "recalibration": done}
    new = dataclasses.replace(metadata, training=training, provenance=provenance())
    return Model(flow, new), found


def _check_reliability(study: Study, rng: np.random.Generator) -> Outcome:
    """Reliability of the probabilities of the classifier behind the ratio."""
    found = reliability(*_ratio_events(study, rng))
    curves = {
        "claimed": found.claimed,
        "observed": found.observed,
        "uncertainty": found.uncertainty,
        "slope": found.slope.value,
        "offset": found.offset,
    }
    return Outcome(Estimate(found.p_value, None), {"reliability": curves})


def _check_normalisation(study: Study, rng: np.random.Generator) -> Outcome:
    """Mean ratio of events of the denominator."""
    log_ratio, outcome = _ratio_events(study, rng)
    return Outcome(ratio_normalisation(log_ratio[outcome == 0]))


def _ratio_events(study: Study, rng: np.random.Generator) -> tuple[Array, Integers]:
    """Simulate events of numerator and denominator; return log r and which are which."""
    n = study.settings.ratio_events
    theta = study.prior.sample(n, rng)
    outcome = rng.integers(0, 2, n)
    made_by = np.where(outcome[:, None] > 0, theta, _denominator_theta(study, n, rng))
    x = study.simulate(made_by, rng)
    return study.model.log_ratio(x, theta), outcome


def _denominator_theta(study: Study, n: int, rng: np.random.Generator) -> Array:
    """Parameters that make events of the denominator, with shape (n, p)."""
    if cast("RatioEstimator", study.model.flow).denominator == "marginal":
        return (study.training_prior or study.prior).sample(n, rng)
    reference = cast("HasJoint", study.simulator).joint_reference
    return np.tile(np.asarray(reference, dtype=float), (n, 1))


RATIO_CHECKS: dict[str, Check] = {
    "ratio_calibration": Check(_check_reliability, _STREAM, (needs_denominator,)),
    "ratio_normalisation": Check(_check_normalisation, _STREAM, (needs_denominator,)),
}
"""The check behind each of these metrics."""
