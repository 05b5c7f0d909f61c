import math
import time

import numpy as np
import pytest

from lfi_mflow.errors import DataError, InputError, UnknownNameError
from lfi_mflow.simulation import (
    HasClosure,
    HasJoint,
    HasLikelihood,
    HasLogRatio,
    HasManifold,
    HasMorphing,
    HasRate,
    HasTestPoints,
    SimulationJob,
    check_simulator,
    component_log_ratio,
    component_score,
    monomials,
    parse_prior,
    simulate_chunk,
    simulate_unweighted,
)
from lfi_mflow_simulators.higgs_eft import HiggsEFT
from lfi_mflow_simulators.higgs_eft.amplitude import differential_cross_section
from lfi_mflow_simulators.higgs_eft.features import read_objects
from lfi_mflow_simulators.higgs_eft.kinematics import hard_event
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES

SM = np.zeros((1, 2))


@pytest.fixture(scope="module")
def events():
    """Events at theta from the box."""
    theta = np.random.default_rng(1).uniform(-1.0, 1.0, (40_000, 2))
    return HiggsEFT().simulate(theta, np.random.default_rng(5))


def agree(values, expected, errors, sigmas=4.0):
    assert np.all(np.abs(np.asarray(values) - expected) < sigmas * np.asarray(errors))


@pytest.mark.parametrize("sampling", ["weighted", "unweighted"])
def test_conforms(sampling):
    simulator = HiggsEFT(sampling=sampling)
    assert len(check_simulator(simulator)) == 14
    known = (HasLogRatio, HasJoint, HasRate, HasManifold, HasClosure, HasMorphing, HasTestPoints)
    for capability in known:
        assert isinstance(simulator, capability)
    assert not isinstance(simulator, HasLikelihood)


def test_the_bound_of_theta_may_be_infinite():
    assert HiggsEFT().parameters[1].high == 1.0
    for bound in (math.inf, "inf"):
        parameter = HiggsEFT(bound=bound).parameters[0]
        assert (parameter.name, parameter.low, parameter.high) == ("theta1", -math.inf, math.inf)


def test_conforms_with_the_published_settings(published):
    assert check_simulator(published, prior=parse_prior("normal(0, 1)", published.parameters))


def test_all_columns_are_filled(events):
    shapes = {name: array.shape for name, array in events.columns().items()}
    n = 40_000
    assert shapes == {
        "theta": (n, 2),
        "x": (n, 40),
        "weight": (n,),
        "log_ratio": (n,),
        "score": (n, 2),
        "latent": (n, 14),
        "components": (n, 6),
    }
    assert all(np.isfinite(array).all() for array in events.columns().values())
    assert events.weight.min() > 0.0


@pytest.mark.statistical
def test_weights_have_mean_one_and_components_the_cross_section(events):
    """Mean weights to five, as the efficiency has an error of its own; they are theta-free."""
    simulator = HiggsEFT()
    n = len(events)
    assert abs(events.weight.mean() - 1.0) < 5.0 * (events.weight.std() / math.sqrt(n) + 2e-3)
    mean, error = events.components.mean(axis=0), events.components.std(axis=0) / math.sqrt(n)
    agree(mean, simulator.rates, error + 2e-3 * simulator.rates)
    np.testing.assert_allclose(
        events.weight,
        np.sum(events.components * monomials(events.theta), axis=1)
        / simulator.cross_section(events.theta),
    )


def test_components_are_read_from_the_features(events):
    simulator = HiggsEFT()
    read = simulator.components(events.x)
    np.testing.assert_allclose(
        read / read[:, :1], events.components / events.components[:, :1], rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(simulator.latents(events.x), events.latent, atol=1e-7)


def test_ratio_and_score_are_those_of_the_components(events):
    simulator = HiggsEFT()
    other = np.array([[0.4, -0.7]])
    expected = component_log_ratio(events.components, events.theta, other, simulator.rates)
    found = simulator.log_ratio(events.x, events.theta, other)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    expected = component_score(events.components, events.theta, simulator.rates)
    np.testing.assert_allclose(simulator.score(events.x, events.theta), expected, atol=1e-7)


def test_ratio_and_score_have_the_right_means_exactly_over_a_closed_sample(sample):
    """With the sample's own components of sigma the identities hold to rounding."""
    rates = sample.components.mean(axis=0)
    for theta in ([[0.5, 0.0]], [[-1.0, -1.0]], [[0.1, 2.0]]):
        ratio = np.exp(component_log_ratio(sample.components, np.array(theta), SM, rates))
        assert abs(np.average(ratio, weights=sample.weight) - 1.0) < 1e-10
    score = component_score(sample.components, SM, rates)
    assert np.abs(np.average(score, axis=0, weights=sample.weight)).max() < 1e-10


@pytest.mark.statistical
def test_ratio_and_score_have_the_right_means(published, sample):
    """The same with the stored components: E_0[r] = 1 and E_0[score] = 0 to four errors."""
    for theta in ([[0.05, 0.0]], [[0.5, 0.0]], [[-1.0, -1.0]]):
        ratio = np.exp(published.log_ratio(sample.x, np.array(theta), SM))
        change = sample.weight * (ratio - 1.0)
        agree(change.mean(), 0.0, change.std() / math.sqrt(len(change)))
    product = sample.weight[:, None] * published.score(sample.x, SM)
    agree(product.mean(axis=0), 0.0, product.std(axis=0) / math.sqrt(len(product)))


@pytest.mark.statistical
def test_fisher_information_is_the_published_one(published, sample):
    """Per event at the Standard Model, diag(126.5, 21.3); from the rate 21.6 and 0."""
    score = published.score(sample.x, SM)
    products = sample.weight[:, None, None] * score[:, :, None] * score[:, None, :]
    errors = products.std(axis=0) / math.sqrt(len(score))
    agree(products.mean(axis=0), np.diag([126.5, 21.3]), errors)
    assert np.all(np.diag(errors) < 0.015 * np.array([126.5, 21.3]))
    rate = np.square(published.rates[1:3] / published.rates[0])
    np.testing.assert_allclose(rate, [21.6, 0.0], atol=0.15)


def test_joint_quantities_average_to_the_marginal_ones(events):
    """Over both assignments, with the probability that each has given the event."""
    simulator, theta, other = HiggsEFT(), events.theta, np.array([[0.7, 0.6]])
    parts = differential_cross_section(
        hard_event(read_objects(events.x)), DENSITIES["les-houches"]
    ).transpose(0, 2, 1)
    total = parts.sum(axis=0)
    np.testing.assert_allclose(total, simulator.components(events.x), rtol=1e-13)

    def chance(point):
        densities = np.sum(parts * monomials(point), axis=2)
        return densities / densities.sum(axis=0)

    ratio = sum(
        p * np.exp(component_log_ratio(part, other, theta, simulator.rates))
        for p, part in zip(chance(theta), parts, strict=True)
    )
    exact = np.exp(simulator.log_ratio(events.x, other, theta))
    np.testing.assert_allclose(ratio, exact, rtol=1e-10)
    score = sum(
        p[:, None] * component_score(part, theta, simulator.rates)
        for p, part in zip(chance(theta), parts, strict=True)
    )
    np.testing.assert_allclose(score, simulator.score(events.x, theta), rtol=1e-10, atol=1e-10)


def test_gold_is_that_of_one_of_the_assignments(events):
    simulator = HiggsEFT()
    parts = differential_cross_section(
        hard_event(read_objects(events.x)), DENSITIES["les-houches"]
    ).transpose(0, 2, 1)
    ratios = [component_log_ratio(part, events.theta, SM, simulator.rates) for part in parts]
    scores = [component_score(part, events.theta, simulator.rates) for part in parts]
    match = np.stack([np.abs(events.log_ratio - ratio) < 1e-6 for ratio in ratios])
    assert np.all(match.any(axis=0))
    chosen = np.where(match[0][:, None], *scores)
    np.testing.assert_allclose(events.score, chosen, atol=1e-5)
    assert np.mean(match[1] & ~match[0]) > 0.05
    # It is not the ratio of what can be seen.
    exact = simulator.log_ratio(events.x, events.theta, SM)
    assert np.mean(np.abs(events.log_ratio - exact) > 1e-3) > 0.05


@pytest.mark.statistical
def test_joint_identities_hold_in_the_sample(events):
    """E[score] = 0 and E[1 / r] = 1 under the joint density at the theta of each row."""
    for values in (
        events.weight * (np.exp(-events.log_ratio) - 1.0),
        events.weight * events.score[:, 0],
        events.weight * events.score[:, 1],
    ):
        agree(values.mean(), 0.0, values.std() / math.sqrt(len(values)))


def test_the_scale_of_theta_is_its_unit():
    fine, coarse = HiggsEFT(), HiggsEFT(theta_scale=10.0)
    theta = np.array([[0.3, -0.9]])
    assert coarse.cross_section(theta) == pytest.approx(fine.cross_section(10.0 * theta))
    x = fine.simulate(np.zeros((50, 2)), np.random.default_rng(0)).x
    np.testing.assert_allclose(
        coarse.log_ratio(x, theta, SM), fine.log_ratio(x, 10.0 * theta, SM), rtol=1e-10
    )
    np.testing.assert_allclose(coarse.score(x, theta), 10.0 * fine.score(x, 10.0 * theta))


def test_another_reference():
    theta = np.tile([[0.5, 0.5]], (200, 1))
    events = HiggsEFT(reference=[0.5, 0.5]).simulate(theta, np.random.default_rng(0))
    np.testing.assert_allclose(events.log_ratio, 0.0, atol=1e-12)


def test_morphing(sample, published):
    morphed = published.morph(sample, (0.05, 0.0))
    ratio = np.exp(published.log_ratio(sample.x, np.array([[0.05, 0.0]]), SM))
    np.testing.assert_allclose(morphed.events.weight, sample.weight * ratio, rtol=1e-6)
    assert 0.2 < morphed.effective_sample_size / len(sample) < 0.6
    with pytest.raises(InputError, match=r"theta2 in \[-1, 1\]"):
        HiggsEFT().morph(sample, (0.0, 1.5))
    with pytest.raises(DataError, match="at least 50"):
        published.morph(sample[:60], (-1.0, -1.0))


def test_kinematic_closure_of_noise_is_one():
    simulator, rng = HiggsEFT(), np.random.default_rng(31)
    pilot = simulator._pilot()
    noise = pilot.mean + pilot.sd * rng.standard_normal((20_000, 40))
    assert simulator.kinematic_closure(noise).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.statistical
def test_the_weights_that_are_left_out_leave_no_trace():
    """Unweighted by acceptance: means of observables and scores are those of weighted events."""
    simulator = HiggsEFT()
    theta = np.tile([[0.5, 0.0]], (4000, 1))
    events = simulate_unweighted(simulator, theta, np.random.default_rng(32))
    weighted = simulator.simulate(np.tile(theta, (25, 1)), np.random.default_rng(33))
    values = [np.c_[np.log(e.x[:, 4::6][:, :4]), e.score] for e in (events, weighted)]
    expected = np.average(values[1], axis=0, weights=weighted.weight)
    agree(values[0].mean(axis=0), expected, 1.2 * values[0].std(axis=0) / np.sqrt(len(theta)))


def test_distance_is_zero_on_the_manifold_and_a_tenth_after_perturbing(events):
    simulator, rng = HiggsEFT(), np.random.default_rng(3)
    assert simulator.distance(events.x).max() < 1e-8
    distance = simulator.distance(simulator.perturb(events.x, rng))
    assert distance.mean() == pytest.approx(0.11, abs=0.03)


def test_single_precision_is_enough_for_the_ratio(events):
    simulator, other = HiggsEFT(), np.array([[0.5, 0.0]])
    rounded = simulator.log_ratio(events.x.astype(np.float32), other, SM)
    np.testing.assert_allclose(rounded, simulator.log_ratio(events.x, other, SM), atol=2e-2)


def test_what_is_no_event_has_no_ratio_and_is_far_away(sample):
    """As a model may make it; without a warning."""
    simulator, other = HiggsEFT(), np.array([[0.5, 0.3]])
    for value in (0.0, np.nan, np.inf, 1e200):
        x = np.full((2, 40), value)
        assert np.isnan(simulator.log_ratio(x, other, SM)).all()
        assert not np.isfinite(simulator.score(x, other)).any()
        assert np.isfinite(simulator.distance(x)).all()
    noise = sample.x.std(axis=0) * np.random.default_rng(1).standard_normal((5000, 40))
    assert np.mean(np.isfinite(simulator.log_ratio(noise, other, SM))) > 0.9
    assert np.mean(np.isnan(simulator.log_ratio(10.0 * noise, other, SM))) > 0.1


def test_blocks_leave_no_seam_and_none_is_needed():
    simulator = HiggsEFT()
    events = simulator.simulate(np.zeros((20_000, 2)), np.random.default_rng(0))
    assert len(np.unique(events.x[:, 0])) == 20_000
    first = simulator.simulate(np.zeros((8192, 2)), np.random.default_rng(0))
    np.testing.assert_array_equal(events.x[:8192], first.x)
    assert simulator.simulate(np.empty((0, 2)), np.random.default_rng(0)).x.shape == (0, 40)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"sampling": "weigthed"}, UnknownNameError, "weighted"),
        ({"parton_density": "cteq"}, UnknownNameError, "parton densities"),
        ({"cuts": "none"}, UnknownNameError, "cuts"),
        ({"theta_scale": 0.0}, InputError, "positive scale"),
        ({"theta_scale": math.nan}, InputError, "positive scale"),
        ({"bound": -1.0}, InputError, "positive bound"),
        ({"bound": math.nan}, InputError, "positive bound"),
        ({"reference": (0.0,)}, InputError, "two finite numbers"),
    ],
)
def test_wrong_settings(settings, error, text):
    with pytest.raises(error, match=text):
        HiggsEFT(**settings)


def test_many_events_take_a_second():
    # Processor time, and far below what it takes, so that a busy machine passes.
    simulator, rng = HiggsEFT(), np.random.default_rng(0)
    theta = np.zeros((50_000, 2))
    simulator.simulate(theta[:100], rng)
    start = time.process_time()
    simulator.simulate(theta, rng)
    assert 50_000 / (time.process_time() - start) > 7e4


def test_a_job_runs_it_by_file(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("from lfi_mflow_simulators.higgs_eft import HiggsEFT\n", encoding="utf-8")
    job = SimulationJob(f"{path}:HiggsEFT", {"theta_scale": 10.0}, 500, 3, theta=(0.1, 0.0))
    assert np.all(simulate_chunk(job, 0).theta == [0.1, 0.0])
