import numpy as np
import pytest

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import HasJoint, HasLogRatio, HasManifold, HasRate, check_simulator
from lfi_mflow_simulators.higgs_eft import HiggsEFT, SmearedHiggsEFT, kinematic_residuals

THETA = np.tile([[0.3, -0.4]], (20_000, 1))
PT_J1, ETA_J1, E_A2, E_A1 = 16, 17, 6, 0


def pair(**settings):
    """The same events before and after the detector."""
    return [
        simulator.simulate(THETA, np.random.default_rng(0))
        for simulator in (HiggsEFT(), SmearedHiggsEFT(**settings))
    ]


@pytest.mark.parametrize("smear", ["latents", "features"])
def test_conforms_and_claims_no_exact_ratio(smear):
    simulator = SmearedHiggsEFT(smear)
    assert len(check_simulator(simulator)) == 8
    assert isinstance(simulator, HasJoint)
    assert isinstance(simulator, HasRate)
    assert not isinstance(simulator, HasLogRatio)
    assert not isinstance(simulator, HasManifold)
    assert simulator.manifold_dim == (14 if smear == "latents" else None)


@pytest.mark.parametrize("smear", ["latents", "features"])
def test_what_is_known_of_the_event_stays(smear):
    before, after = pair(smear=smear)
    for name in ("weight", "log_ratio", "score", "latent", "components", "theta"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert not np.any(np.all(before.x == after.x, axis=1))


def test_without_widths_nothing_is_smeared():
    before, after = pair(widths=(0.0, 0.0, 0.0))
    np.testing.assert_allclose(before.x, after.x, rtol=1e-9, atol=1e-9)


def test_smeared_latents_keep_all_relations_and_the_order():
    x = pair()[1].x
    assert kinematic_residuals(x).max() < 1e-9 * np.abs(x).max()
    assert np.all(x[:, PT_J1] >= x[:, 22])
    assert np.all(x[:, 4] >= x[:, 10])


@pytest.mark.statistical
def test_smeared_latents_have_their_widths():
    """Of events whose objects are too far apart to change places, to 5 per cent."""
    before, after = (events.x for events in pair(widths=(0.02, 0.01, 0.01)))
    apart = (before[:, PT_J1] > 1.3 * before[:, 22]) & (before[:, 4] > 1.3 * before[:, 10])
    before, after = before[apart], after[apart]
    pt, energy = (np.log(after[:, column] / before[:, column]) for column in (PT_J1, E_A2))
    assert pt.std() == pytest.approx(0.02, rel=0.05)
    assert energy.std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(after[:, ETA_J1], before[:, ETA_J1], atol=1e-9)
    turn = np.angle((after[:, 13] + 1j * after[:, 14]) / (before[:, 13] + 1j * before[:, 14]))
    assert turn.std() == pytest.approx(0.01, rel=0.05)
    assert np.abs(np.corrcoef(turn, pt)[0, 1]) < 0.05


@pytest.mark.statistical
def test_smeared_features_have_independent_noise():
    before, after = pair(smear="features", widths=(2.0, 0.05))
    noise = after.x - before.x
    np.testing.assert_allclose(noise[:, [E_A1, PT_J1, 29]].std(axis=0), 2.0, rtol=0.03)
    np.testing.assert_allclose(noise[:, [ETA_J1, 31, 39]].std(axis=0), 0.05, rtol=0.03)
    assert np.abs(np.corrcoef(noise.T) - np.eye(40)).max() < 0.04


def test_wrong_settings():
    with pytest.raises(UnknownNameError, match="latents"):
        SmearedHiggsEFT("latent")
    for widths in ((0.1,), (0.1, 0.1, -1.0), (0.1, np.inf, 0.1)):
        with pytest.raises(InputError, match="3 finite widths"):
            SmearedHiggsEFT(widths=widths)
