"""What every study has: rows with training files, published values, rules that fit together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lfi_mflow.config import from_table
from lfi_mflow.flows import PRESETS
from lfi_mflow.training import RunConfig, read_run_config

yaml = pytest.importorskip("yaml", reason="Snakemake, which brings it, is not installed")

WORKFLOWS = Path(__file__).parents[2] / "workflows"
STUDIES = (
    *("polynomial_surface", "circle", "lorenz", "instability", "higgs_eft", "atlas"),
    "injective",
)
NO_ROWS = {"literature.toml", "published.toml"}

each_study = pytest.mark.parametrize("study", STUDIES)


def read_config(study: str, name: str = "config.yaml") -> dict:
    return yaml.safe_load((WORKFLOWS / study / name).read_text())


def training_files():
    for study in STUDIES:
        for path in sorted((WORKFLOWS / study).glob("*.toml")):
            if path.name != "literature.toml":
                yield pytest.param(path, id=f"{study}/{path.name}")


@each_study
def test_every_row_has_a_training_file_and_every_file_is_used(study):
    files = {path.name for path in (WORKFLOWS / study).glob("*.toml")} - NO_ROWS
    config = read_config(study)
    runs = config.get("runs", {})
    assert files == {f"{runs.get(row, row)}.toml" for row in config["rows"]}
    for rows in (runs, config.get("charts", {}), config.get("scores", {})):
        assert set(rows) <= set(config["rows"])


@each_study
@pytest.mark.parametrize("profile", ["config.yaml", "quick.yaml"])
def test_what_the_configuration_names_exists(study, profile):
    config = read_config(study) | read_config(study, profile)
    for key in ("select", "panels", "traces"):
        assert set(config.get(key) or ()) <= set(config["rows"])
    for key in ("sizes", "published"):
        assert config[key] is None or (WORKFLOWS / study / config[key]).is_file()


@pytest.mark.parametrize("study", ["polynomial_surface", "circle", "higgs_eft"])
def test_published_values_belong_to_rows_and_metrics(study):
    config = read_config(study)
    rows = tomllib.loads((WORKFLOWS / study / config["published"]).read_text())["rows"]
    assert set(rows) <= set(config["rows"])
    assert all(set(row) <= set(config["metrics"]) for row in rows.values())


@pytest.mark.parametrize("path", list(training_files()))
def test_the_training_files_are_valid(path):
    assert read_run_config(path).schedule


def test_the_training_file_of_the_m_flow_spells_out_the_defaults():
    config = read_run_config(WORKFLOWS / "polynomial_surface" / "m-flow.toml")
    settings = PRESETS["m-flow"].settings
    assert config.phases == RunConfig().schedule
    assert config.validation_fraction == RunConfig().validation_fraction
    assert from_table(settings, config.settings, "settings") == settings()


@each_study
def test_the_rules_fit_together(snakemake, study, tmp_path):
    said = snakemake(study, tmp_path, "--dry-run")
    assert "rule gather" in said
    assert "table.md" in said


def test_the_torus_has_no_settings_of_the_sphere(snakemake, workflows, tmp_path):
    """Snakemake merges the tables of configurations, and an empty one changes nothing."""
    profile = ["--configfile", str(workflows / "injective" / "torus.yaml")]
    said = snakemake("injective", tmp_path, *profile, "--dry-run", "--printshellcmds")
    assert "simulate torus" in said
    assert "dim=2" not in said


@pytest.mark.parametrize(
    ("study", "figures"),
    [
        ("polynomial_surface", ["samples.png"]),
        pytest.param("circle", ["circle.png"], marks=pytest.mark.slow),
        pytest.param("lorenz", ["attractor.png"], marks=pytest.mark.slow),
        pytest.param("atlas", ["samples.png", "atlas.png"], marks=pytest.mark.slow),
        pytest.param("injective", [], marks=pytest.mark.slow),
        pytest.param(
            "higgs_eft",
            ["posterior-theta1.png", "posterior-theta2.png", "coverage.png"],
            marks=pytest.mark.slow,
        ),
        pytest.param("instability", ["family.png", "trainings.png"], marks=pytest.mark.slow),
    ],
)
def test_a_quick_study_makes_table_and_figures(snakemake, study, figures, tmp_path):
    snakemake(study, tmp_path, "--quiet")
    rows = read_config(study, "quick.yaml")["select"]
    table = (tmp_path / "table.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == rows
    assert (tmp_path / "table.md").read_text().startswith("Median")
    for name in figures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
