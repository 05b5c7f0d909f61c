import numpy as np
import pytest

from lfi_mflow_simulators.higgs_eft.closure import kinematic_closure, noise_residuals
from lfi_mflow_simulators.higgs_eft.features import (
    OBSERVABLES,
    features,
    kinematic_residuals,
    read_objects,
)
from lfi_mflow_simulators.higgs_eft.kinematics import four_vectors

NAMES = [observable.name for observable in OBSERVABLES]


@pytest.fixture(scope="module")
def x(sample):
    return sample.x[:3000]


def column(x, name):
    return x[:, NAMES.index(name)]


def directions(z, scale, step):
    """Unit vectors along which the features of one event change with its coordinates."""
    shifts = step * np.diag(scale)
    high, low = (features(four_vectors(z[:, None] + sign * shifts)) for sign in (1.0, -1.0))
    return (high - low) / np.linalg.norm(high - low, axis=0)


def test_names_and_units():
    assert len(set(NAMES)) == 40
    assert NAMES[:7] == ["e_a1", "px_a1", "py_a1", "pz_a1", "pt_a1", "eta_a1", "e_a2"]
    assert NAMES[24:] == [
        f"{quantity}_{pair}"
        for pair in ("aa", "jj")
        for quantity in ("e", "px", "py", "pz", "pt", "m", "eta", "deltaeta")
    ]
    for observable in OBSERVABLES:
        assert observable.unit == ("" if "eta" in observable.name else "GeV")


def test_features_are_what_their_names_say(x):
    for name in ("a1", "a2", "j1", "j2", "aa", "jj"):
        px, py, pz = (column(x, f"{axis}_{name}") for axis in ("px", "py", "pz"))
        np.testing.assert_allclose(column(x, f"pt_{name}"), np.hypot(px, py))
        angle = np.arctan2(np.hypot(px, py), pz)
        np.testing.assert_allclose(column(x, f"eta_{name}"), -np.log(np.tan(angle / 2)), atol=1e-9)
    for pair in ("aa", "jj"):
        one, two = (pair[0] + number for number in "12")
        vectors = [
            np.stack([column(x, f"{c}_{o}") for c in ("e", "px", "py", "pz")]) for o in (one, two)
        ]
        e, *p = vectors[0] + vectors[1]
        np.testing.assert_allclose(column(x, f"m_{pair}") ** 2, e**2 - np.sum(np.square(p), axis=0))
        np.testing.assert_allclose(column(x, f"e_{pair}"), e)
        difference = column(x, f"eta_{one}") - column(x, f"eta_{two}")
        np.testing.assert_allclose(column(x, f"deltaeta_{pair}"), difference)


def test_four_vectors_are_read_back(proposals):
    p = proposals[0].p[:, :, :99]
    np.testing.assert_array_equal(read_objects(features(p).T), p)


def test_the_manifold_has_dimension_fourteen_everywhere(sample):
    """The smallest singular value, against what differences get wrong."""
    scale = sample.latent.std(axis=0)
    # At the poles of the decay the azimuth is no coordinate, as on any sphere.
    regular = sample.latent[np.abs(sample.latent[:, 12]) < 0.99][:400]
    for z in regular:
        tangents = directions(z, scale, 1e-4)
        error = np.linalg.norm(tangents - directions(z, scale, 5e-5), ord=2)
        assert np.linalg.svd(tangents, compute_uv=False)[-1] > 3.0 * error


def test_ten_of_the_relations_are_linear(x):
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    values = np.linalg.svd(standard, compute_uv=False)
    assert values[29] > 1e-4 * values[0]
    assert values[30] < 1e-12 * values[0]


def test_residuals_vanish_on_the_manifold_and_see_every_feature(x):
    residuals = kinematic_residuals(x)
    assert residuals.shape == (len(x), 26)
    assert residuals.max() < 1e-9 * np.abs(x).max()
    for feature in range(40):
        moved = x[:50].copy()
        moved[:, feature] *= 1.01
        assert np.all(kinematic_residuals(moved).max(axis=1) > 1e-5)


def test_residuals_name_the_relation_that_is_broken(x):
    for name, broken in (("pt_j1", {2}), ("eta_aa", {10}), ("m_jj", {15}), ("deltaeta_jj", {25})):
        moved = x[:20].copy()
        moved[:, NAMES.index(name)] += 1.0
        assert set(np.flatnonzero(kinematic_residuals(moved).min(axis=0) > 1e-3)) == broken


@pytest.mark.statistical
def test_closure_is_one_for_noise(x):
    mean, sd = x.mean(axis=0), x.std(axis=0)
    noise = mean + sd * np.random.default_rng(9).standard_normal((20_000, 40))
    distance = kinematic_closure(noise, mean, sd)
    # Clipping takes away less than it moves; the mean is good to 0.3 %.
    assert distance.mean() == pytest.approx(1.0, abs=0.02)
    assert kinematic_closure(x, mean, sd).max() < 1e-8
    assert np.all(noise_residuals(mean, sd) > 0.0)


def test_an_event_that_cannot_be_compared_is_far_away(x):
    mean, sd = x.mean(axis=0), x.std(axis=0)
    assert np.all(kinematic_closure(np.full((1, 40), np.nan), mean, sd) == 10.0)
    assert np.all(np.isfinite(kinematic_closure(np.zeros((1, 40)), mean, sd)))
