"""The closure test of a model: simulate what is known, and see whether the model knows it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lfi_mflow.closure.checks import CHECKS, SURFACE_STREAM, surface_curves
from lfi_mflow.closure.context import ClosureSettings, Study, check_dimensions
from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.closure.record import ClosureReport, Metric, Target
from lfi_mflow.closure.targets import METRICS, load_targets
from lfi_mflow.errors import UnknownNameError
from lfi_mflow.flows import Flow, Model
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Prior, Simulator

__all__ = ["run_closure"]


def run_closure(
    model: Flow | Model,
    simulator: Simulator,
    prior: Prior,
    *,
    metrics: Iterable[str] = METRICS,
    seed: int = 0,
    settings: ClosureSettings | None = None,
    targets: Mapping[str, Target] | None = None,
) -> ClosureReport:
    """Test a model against the simulator that it was trained on.

    Arguments:
        model: The trained flow, or the model as its file holds it, which also knows
            how far its validation events were from the manifold.
        simulator: The simulator; what it offers beyond events decides which
            metrics can be computed.
        prior: Distribution of theta for generated events and calibration, and the
            prior of all posteriors.
        metrics: Names of the metrics, from :data:`METRICS`.
        seed: Seed of all randomness.
        settings: Sizes of the test.
        targets: Target of each metric; None for those of the simulator that come
            with the package (:func:`load_targets`).

    Returns:
        Metrics, the reasons for those that were skipped, and the curves that
        figures are drawn from: ``surface`` (``truth`` and ``model``, each with
        ``x`` and, where known, ``log_prob`` and ``distance``), ``posterior`` (a row
        per observed set and parameter: ``theta``, ``model``, ``exact``, ``truth``),
        ``posterior_mmd2``, ``posterior_kl``, ``c2st``, ``log_posterior_at_truth`` and
        ``log_posterior_at_truth_exact`` (of each set), ``ood`` (the AUC of each score),
        ``sbc`` and ``tarp`` (``ranks`` and ``n_draws``), ``coverage`` (``hpd``,
        ``central`` and ``n_draws``), ``lc2st`` (``theta`` and ``p_value`` of each set),
        ``reliability`` (of a ratio estimator: ``claimed``, ``observed`` and ``uncertainty``
        by groups of events, and the ``slope`` and ``offset`` that would mend it),
        ``likelihood_calibration`` (``slope`` and ``uncertainty``) and ``off_manifold``
        (``p_value`` of each set).

    Raises:
        UnknownNameError: If there is no metric of a name.
        ModelMismatchError: If flow, simulator and prior differ in their dimensions.
    """
    chosen = _known(metrics)
    flow, training, training_prior = _parts(model)
    check_dimensions(flow, simulator, prior)
    settings = settings or ClosureSettings()
    study = Study(FlowEvaluator(flow), simulator, prior, seed, settings, training, training_prior)
    goals = load_targets(simulator=simulator.name) if targets is None else targets
    found: dict[str, Metric] = {}
    skipped: dict[str, str] = {}
    curves = surface_curves(study, study.rng(SURFACE_STREAM))
    for name in chosen:
        check = CHECKS[name]
        obstacle = check.obstacle(study)
        if obstacle is not None:
            skipped[name] = obstacle
            continue
        outcome = check.run(study, study.rng(check.stream))
        estimate = outcome.estimate
        found[name] = Metric.judged(estimate.value, estimate.uncertainty, goals.get(name))
        curves |= outcome.curves
    origin = {
        **provenance(),
        "simulator": simulator.name,
        "prior": prior.describe([parameter.name for parameter in simulator.parameters]),
        "seed": seed,
        "sizes": asdict(settings),
    }
    return ClosureReport(found, origin, curves, skipped)


def _parts(model: Flow | Model) -> tuple[Flow, Mapping[str, Any], Prior | None]:
    """Return the flow, and what is known of its training and the prior of its events."""
    if not isinstance(model, Model):
        return model, {}, None
    table = model.metadata.events.prior
    return model.flow, model.metadata.training, None if table is None else Prior.from_table(table)


def _known(metrics: Iterable[str]) -> tuple[str, ...]:
    """Check the names of metrics and return them in the order of :data:`METRICS`."""
    names = list(metrics)
    for name in names:
        if name not in CHECKS:
            raise UnknownNameError("closure metric", name, METRICS)
    return tuple(name for name in METRICS if name in names)
