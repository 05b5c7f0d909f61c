"""The study's table, its training file, and its rules."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lfi_mflow.config import from_table
from lfi_mflow.flows import ManifoldSettings
from lfi_mflow.training import RunConfig, read_run_config

STUDY = Path(__file__).parents[2] / "workflows" / "polynomial_surface"
SNAKEMAKE = shutil.which("snakemake", path=Path(sys.executable).parent)


@pytest.fixture
def closures(tmp_path: Path) -> list[Path]:
    paths = []
    for seed, value in enumerate((0.001, 0.003, 0.002), start=1):
        metrics = {
            "reconstruction_error": {"value": value, "target": 0.0012},
            "posterior_mmd2": {"value": None if seed == 3 else 0.01, "target": 0.005},
        }
        path = tmp_path / f"closure-{seed}.json"
        path.write_text(json.dumps({"metrics": metrics}))
        paths.append(path)
    return paths


def test_the_table_holds_median_extremes_and_every_run(closures, tmp_path):
    markdown, table = tmp_path / "table.md", tmp_path / "table.csv"
    subprocess.run(
        [sys.executable, STUDY / "gather.py", *closures, "--markdown", markdown, "--csv", table],
        check=True,
    )
    rows = markdown.read_text().splitlines()
    assert (
        rows[2] == "| reconstruction_error | 0.002 | 0.001 | 0.003 | 0.0012 | 0.001 0.003 0.002 |"
    )
    assert rows[3] == "| posterior_mmd2 | 0.01 | 0.01 | 0.01 | 0.005 | 0.01 0.01 – |"
    lines = table.read_text().splitlines()
    assert lines[0] == "metric,target,closure-1,closure-2,closure-3"
    assert lines[2] == "posterior_mmd2,0.005,0.01,0.01,"


@pytest.mark.parametrize("name", ["m-flow.toml", "graph.toml", "published.toml"])
def test_the_training_files_are_valid(name):
    config = read_run_config(STUDY / name)
    assert [phase.objective for phase in config.phases] == ["reconstruction", "latent-likelihood"]


@pytest.mark.skipif(SNAKEMAKE is None, reason="Snakemake is not installed")
def test_the_rules_fit_together(tmp_path):
    snakefile = STUDY / "Snakefile"
    command = [SNAKEMAKE, "--snakefile", snakefile, "--directory", tmp_path, "--dry-run", "-q"]
    subprocess.run(command, check=True, capture_output=True)


def test_the_training_file_spells_out_the_defaults():
    config = read_run_config(STUDY / "m-flow.toml")
    default = RunConfig()
    assert config.phases == default.schedule
    assert config.validation_fraction == default.validation_fraction
    assert from_table(ManifoldSettings, config.settings, "settings") == ManifoldSettings()
