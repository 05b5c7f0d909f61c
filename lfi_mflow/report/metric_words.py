"""The metrics of a closure test in words: what each is, and what it means to miss its target."""

from __future__ import annotations

__all__ = ["METRIC_WORDS", "MISSED"]

METRIC_WORDS = {
    "manifold_distance": (
        "Distance to the true manifold",
        "mean distance of generated events to it, theta from the prior",
    ),
    "reconstruction_error": (
        "Reconstruction error",
        "mean distance of test events to their projection on the learned manifold",
    ),
    "posterior_mmd2": (
        "Posterior discrepancy MMD²",
        "squared maximum mean discrepancy between the posteriors of model and exact likelihood",
    ),
    "posterior_kl": (
        "Posterior KL divergence",
        "of the posteriors of the model from the exact ones, in nats, mean over sets",
    ),
    "ood_auc": (
        "Off-manifold AUC",
        "how well the model tells test events from events moved off the manifold",
    ),
    "log_density_error": (
        "Error of log density",
        "mean |log p(model) − log p(exact)| of test events, in nats",
    ),
    "kinematic_closure": (
        "Kinematic closure",
        "how far relations between observables of generated events are from holding; noise has 1",
    ),
    "log_posterior_at_truth": (
        "Log posterior at the truth",
        "of a kernel density estimate of posterior samples, mean over sets at the test points",
    ),
    "log_posterior_at_truth_exact": (
        "Log exact posterior at the truth",
        "the same of the exact posteriors: what a perfect model reaches on these sets",
    ),
    "log_posterior_at_truth_error": (
        "Error of log posterior at the truth",
        "absolute difference of the two means, in nats",
    ),
    "sbc_p_value": (
        "Calibration p-value",
        "of the ranks of the truth among posterior draws, over many sets of events",
    ),
    "coverage_68": (
        "Coverage at 68 %",
        "share of the 68 % highest-density regions that hold the truth",
    ),
    "coverage_95": (
        "Coverage at 95 %",
        "share of the 95 % highest-density regions that hold the truth",
    ),
    "tarp_p_value": (
        "TARP p-value",
        "of the distances of truth and posterior draws to reference points, all parameters jointly",
    ),
    "lc2st_p_value": (
        "Local calibration p-value",
        "of a classifier that may see faults which differ from place to place (LC2ST)",
    ),
    "likelihood_calibration": (
        "Likelihood calibration p-value",
        "are ratios of likelihoods of sets of events the odds that they claim to be?",
    ),
    "c2st": (
        "Classifier accuracy C2ST",
        "of a network that tells posteriors of model and exact likelihood apart; ½ is the best",
    ),
    "off_manifold_p_value": (
        "Off-manifold calibration p-value",
        "are off-manifold p-values of simulated sets smaller than they should be?",
    ),
    "distance_theta_dependence": (
        "Independence of residual and parameters, p-value",
        "given the projection, does the distance to the learned manifold depend on them?",
    ),
    "ratio_calibration": (
        "Ratio calibration p-value",
        "of single events: are the probabilities of the classifier behind the ratio the shares "
        "of events that they claim to be?",
    ),
    "ratio_normalisation": (
        "Normalisation of the ratio",
        "mean ratio of events of its denominator, theta from the prior; 1 is right",
    ),
}
"""Title and meaning of each metric."""

MISSED = {
    "manifold_distance": (
        "Events that the model generates lie off the true manifold. Train the chart for longer "
        "or with more events; do not use generated events as if they were simulated."
    ),
    "reconstruction_error": (
        "The learned manifold does not pass through the test events. Train the chart for longer, "
        "or check the manifold dimension."
    ),
    "posterior_mmd2": (
        "Posteriors of the model differ from the exact ones. Compare the curves below: a shift "
        "or a wrong width says what the density phase has not learned."
    ),
    "posterior_kl": (
        "Posteriors of the model leave out, or hardly hold, what the exact ones hold. Train the "
        "density for longer, with more events, or with the joint score if there is one."
    ),
    "ood_auc": (
        "The model does not separate events on the manifold from events beside it: a low "
        "off-manifold p-value of observed data means little."
    ),
    "log_density_error": (
        "The density on the manifold is wrong in absolute terms, so values of log p must not be "
        "compared between models; likelihood ratios may still be right (see the posteriors)."
    ),
    "kinematic_closure": (
        "Generated events violate relations that hold for simulated ones. Train the chart for "
        "longer or with more events."
    ),
    "log_posterior_at_truth": (
        "Posteriors put little mass on the truth: compare with the value of the exact ones, which "
        "chance and the width of the kernels limit as well."
    ),
    "log_posterior_at_truth_exact": (
        "The observed sets themselves say little about the truth: take more or larger ones."
    ),
    "log_posterior_at_truth_error": (
        "Posteriors of the model are less or more certain of the truth than the exact ones. Train "
        "the density for longer, with more events, or with the joint score if there is one."
    ),
    "sbc_p_value": "Credible intervals do not hold the truth as often as they say.",
    "coverage_68": "68 % credible regions do not hold the truth in 68 % of all cases.",
    "coverage_95": "95 % credible regions do not hold the truth in 95 % of all cases.",
    "tarp_p_value": (
        "Taken jointly, the parameters do not lie where their posteriors say. If the ranks of each "
        "parameter are fine, the correlations are wrong."
    ),
    "lc2st_p_value": (
        "Posteriors are wrong somewhere. If the other calibration tests pass, faults of different "
        "sign cancel in them: test again with a prior that covers only a part."
    ),
    "likelihood_calibration": (
        "Ratios of likelihoods are not the odds that they claim to be. The slope in closure.json "
        "is the factor that the log-likelihood is to be multiplied by; below 1 it claims too much."
    ),
    "c2st": (
        "A classifier tells posteriors of the model from exact ones. Compare the curves below: a "
        "shift or a wrong width says what the density phase has not learned."
    ),
    "off_manifold_p_value": (
        "Simulated sets of events look as if they were off the manifold more often than they "
        "should: the simulator is not that of the training events, or distances depend on the "
        "parameters. Do not reject observed events by their off-manifold p-value."
    ),
    "distance_theta_dependence": (
        "The distance to the learned manifold knows the parameters: projecting the events throws "
        "information away. Raise the manifold dimension, or train the chart for longer."
    ),
    "ratio_calibration": (
        "The ratio estimator claims too much or too little of single events. Mend it with: "
        "lfi-mflow recalibrate model.mflow -o recalibrated.mflow, or train it for longer."
    ),
    "ratio_normalisation": (
        "The ratio is off by a factor on average. Where the factor depends on theta, sets of many "
        "events are biased by it: recalibrate the model, or train it for longer."
    ),
}
"""What it means that a metric misses its target, and what to do."""
