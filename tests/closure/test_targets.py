"""Targets are data that a user can replace."""

from __future__ import annotations

import pytest

from lfi_mflow.closure.record import Target
from lfi_mflow.closure.targets import load_targets
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError

DEFAULT = {
    "sbc_p_value": Target(0.01, "at_least"),
    "coverage_68": Target(0.6827, "compatible_with"),
    "coverage_95": Target(0.95, "compatible_with"),
    "tarp_p_value": Target(0.01, "at_least"),
    "lc2st_p_value": Target(0.01, "at_least"),
    "likelihood_calibration": Target(0.01, "at_least"),
    "off_manifold_p_value": Target(0.01, "at_least"),
    "distance_theta_dependence": Target(0.01, "at_least"),
    "ratio_calibration": Target(0.01, "at_least"),
    "ratio_normalisation": Target(1.0, "compatible_with"),
}


def test_the_polynomial_surface_has_the_targets_of_the_study():
    assert load_targets(simulator="polynomial-surface") == DEFAULT | {
        "manifold_distance": Target(0.0012, "at_most"),
        "reconstruction_error": Target(0.0012, "at_most"),
        "posterior_mmd2": Target(0.005, "at_most"),
        "ood_auc": Target(0.99, "at_least"),
        "log_density_error": Target(0.05, "at_most"),
        "c2st": Target(0.55, "at_most"),
    }


def test_any_other_simulator_has_the_default():
    assert load_targets(simulator="mine") == DEFAULT


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "targets.toml"
    path.write_text("[default]\nood_auc = { at_least = 0.5 }\n[mine]\nood_auc = { at_least = 1 }\n")
    assert load_targets(path, "mine") == {"ood_auc": Target(1.0, "at_least")}
    assert load_targets(path, "other") == {"ood_auc": Target(0.5, "at_least")}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("default = 3", ConfigError, "a table"),
        ("[default]\nood_uac = { at_least = 1 }", UnknownNameError, "ood_auc"),
        ("[default]\nood_auc = { atleast = 1 }", UnknownNameError, "at_least"),
        ("[default]\nood_auc = 0.9", ConfigError, "at_most"),
        ("[default]\nood_auc = { at_least = true }", ConfigError, "a number"),
        ("[default", FileFormatError, "TOML"),
    ],
)
def test_mistakes_are_named(text, error, message, tmp_path):
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        load_targets(path)
