"""Level and power of the closure diagnostics, as the table of docs/diagnostics.md.

::

    python benchmarks/diagnostics.py            # 400 repetitions, ten minutes
    python benchmarks/diagnostics.py --repeat 50

A conjugate toy over sets of events: theta ~ N(0, 1), 20 events x ~ N(theta, 2^2)
each, 300 sets with 199 posterior draws. Faults are in units of the posterior's
width. Of each diagnostic the share of repetitions is printed in which its p-value
is below 5 %, and in which it misses the target of the closure test.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from lfi_mflow.closure.c2st import c2st
from lfi_mflow.closure.coverage import expected_coverage, hpd_ranks
from lfi_mflow.closure.lc2st import lc2st
from lfi_mflow.closure.likelihood_calibration import parameter_pairs, ratio_calibration
from lfi_mflow.closure.residual import (
    distance_theta_dependence,
    off_manifold_p_values,
    too_small,
)
from lfi_mflow.closure.sbc import sbc_p_value, sbc_ranks
from lfi_mflow.closure.tarp import one_sided, tarp_p_value, tarp_ranks
from lfi_mflow.simulation import Normal, Prior

SETS, EVENTS, DRAWS = 300, 20, 199
PAIRS, SAMPLES, SINGLE = 1_000, 1_000, 2_000
EVENT_SD = 2.0
TARGET = 0.01
PRIOR = Prior((Normal(0.0, 1.0),))

POSTERIOR_FAULTS = {
    "exact": {},
    "30 % too narrow": {"width": 0.7},
    "40 % too wide": {"width": 1.4},
    "shifted by half its width": {"shift": 0.5},
    "shifted outwards by half its width": {"outwards": 0.5},
}
DISTANCE_FAULTS = {
    "exact": {},
    "distances 10 % larger": {"larger": 1.1},
    "1 % of events far off": {"outliers": 0.01},
    "distance depends on u": {"by_u": 0.3},
    "distance depends on theta": {"by_theta": 0.3},
}


def conjugate(rng, width=1.0, shift=0.0, outwards=0.0):
    """True parameters, and draws and log-densities of posteriors with a fault."""
    theta = rng.normal(size=(SETS, 1))
    data = theta + EVENT_SD / np.sqrt(EVENTS) * rng.normal(size=(SETS, 1))
    sd = 1.0 / np.sqrt(1.0 + EVENTS / EVENT_SD**2)
    mean = data * sd**2 * EVENTS / EVENT_SD**2
    mean = mean + sd * (shift + outwards * np.sign(mean))
    draws = mean[:, None] + width * sd * rng.normal(size=(SETS, DRAWS, 1))

    def log_prob(points):
        return -0.5 * ((points - mean) / (width * sd)) ** 2

    return theta, draws, log_prob


def posterior_tests(rng, fault):
    """P-value and verdict of every test of posteriors, by name."""
    theta, draws, log_prob = conjugate(rng, **fault)
    found = {"sbc_p_value": sbc_p_value(sbc_ranks(theta, draws, rng), DRAWS)}
    ranks = hpd_ranks(log_prob(theta)[:, 0], log_prob(draws[..., 0]), rng)
    rows = {}
    for name, level in (("coverage_68", 0.6827), ("coverage_95", 0.95)):
        estimate = expected_coverage(ranks, DRAWS, level)
        errors = abs(estimate.value - level) / estimate.uncertainty
        rows[name] = (2.0 * stats.norm.sf(errors), errors > 3.0)
    reference = one_sided(PRIOR.sample(SETS, rng), draws)
    found["tarp_p_value"] = tarp_p_value(
        tarp_ranks(theta, draws, reference, np.ones(1), rng), DRAWS
    )
    found["lc2st_p_value"] = lc2st(theta, draws, rng).p_value
    found["likelihood_calibration"] = ratio_test(rng, **fault)
    return {name: (p, p < TARGET) for name, p in found.items()} | rows


def ratio_test(rng, width=1.0, shift=0.0, outwards=0.0):
    """P-value of likelihood ratios with the same fault."""
    pairs = np.concatenate(parameter_pairs(PRIOR, PAIRS, rng), axis=1)
    outcome = rng.integers(0, 2, PAIRS)
    sd = EVENT_SD / np.sqrt(EVENTS)
    data = pairs[np.arange(PAIRS), outcome] + sd * rng.normal(size=PAIRS)
    data = data + sd * (shift + outwards * np.sign(data))
    log_prob = -0.5 * ((data[:, None] - pairs) / (width * sd)) ** 2
    return ratio_calibration(
        log_prob[:, 1] - log_prob[:, 0], pairs[:, 1:] - pairs[:, :1], outcome
    ).p_value


def tarp_variants(rng, fault):
    """P-value and verdict of TARP with each choice of reference points and of the test."""
    theta, draws, _ = conjugate(rng, **fault)
    reference = PRIOR.sample(SETS, rng)
    found = {}
    for name, points in (("prior", reference), ("mirrored", one_sided(reference, draws))):
        ranks = tarp_ranks(theta, draws, points, np.ones(1), rng)
        shares = (ranks + rng.uniform(size=SETS)) / (DRAWS + 1)
        found[f"{name}, Kolmogorov-Smirnov"] = stats.kstest(shares, "uniform").pvalue
        found[f"{name}, band"] = tarp_p_value(ranks, DRAWS)
    return {name: (p, p < TARGET) for name, p in found.items()}


def classifier_test(rng, fault):
    """P-value (one-sided, normal) and verdict of the classifier on one pair of posteriors."""
    shift = fault.get("shift", 0.0) + fault.get("outwards", 0.0)
    model = shift + fault.get("width", 1.0) * rng.normal(size=(SAMPLES, 1))
    found = c2st(model, rng.normal(size=(SAMPLES, 1)), int(rng.integers(2**31)))
    return {"c2st": (stats.norm.sf((found.value - 0.5) / found.uncertainty), found.value > 0.55)}


def distance_tests(rng, fault):
    """P-value and verdict of the tests of distances to the manifold, by name."""
    reference = np.quantile(events(rng, 10_000, fault, true=False)[0], np.linspace(0, 1, 1001))
    theta = np.repeat(rng.normal(size=SETS), EVENTS)
    distance = events(rng, theta, fault)[0].reshape(SETS, EVENTS)
    found = {"off_manifold_p_value": too_small(off_manifold_p_values(distance, reference, 10_000))}
    theta = rng.normal(size=SINGLE)
    distance, u = events(rng, theta, fault)
    found["distance_theta_dependence"] = distance_theta_dependence(distance, theta[:, None], u, rng)
    return {name: (p, p < TARGET) for name, p in found.items()}


def events(rng, theta, fault, true=True):
    """Distances and latents u = theta + N(0, 2^2) of events; ``larger`` and outliers if true."""
    theta = rng.normal(size=theta) if isinstance(theta, int) else theta
    u = theta + EVENT_SD * rng.normal(size=len(theta))
    size = np.exp(fault.get("by_u", 0.0) * u + fault.get("by_theta", 0.0) * theta)
    distance = size * np.abs(rng.normal(size=len(theta)))
    if true:
        distance = distance * fault.get("larger", 1.0)
        distance = np.where(rng.uniform(size=len(theta)) < fault.get("outliers", 0.0), 20, distance)
    return distance, u[:, None]


def table(test, faults, repeat, rng):
    """Print a Markdown table: a row per fault, a column per diagnostic."""
    heading = False
    for label, fault in faults.items():
        outcomes = [test(rng, fault) for _ in range(repeat)]
        names = list(outcomes[0])
        if not heading:
            print(f"\n| {repeat} repetitions | {' | '.join(names)} |")
            print("|---" * (len(names) + 1) + "|")
            heading = True
        cells = [
            f"{np.mean([row[name][0] < 0.05 for row in outcomes]):.1%} / "
            f"{np.mean([row[name][1] for row in outcomes]):.1%}"
            for name in names
        ]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=400)
    repeat = parser.parse_args().repeat
    source = np.random.default_rng(2026)
    table(posterior_tests, POSTERIOR_FAULTS, repeat, source)
    table(distance_tests, DISTANCE_FAULTS, repeat, source)
    # A network takes a second: fewer repetitions, and a stream of their own.
    table(classifier_test, POSTERIOR_FAULTS, max(repeat // 4, 5), np.random.default_rng(2027))
    table(tarp_variants, POSTERIOR_FAULTS, repeat, np.random.default_rng(2028))
