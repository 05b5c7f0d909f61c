"""The studies, and their scripts as modules."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture
def workflows() -> Path:
    return WORKFLOWS


@pytest.fixture
def script(monkeypatch) -> Callable[[str], ModuleType]:
    """Load a script of workflows/ as a module."""

    def load(path: str) -> ModuleType:
        source = WORKFLOWS / path
        monkeypatch.syspath_prepend(str(source.parent))  # a script sees its neighbours
        spec = importlib.util.spec_from_file_location(f"_workflow_{source.stem}", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look it up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def snakemake() -> Callable[..., str]:
    """Run a study with the quick profile, and return what Snakemake says: (study, folder, ...)."""
    program = shutil.which("snakemake", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("Snakemake is not installed")

    def run(study: str, folder: Path, *options: str) -> str:
        source = WORKFLOWS / study
        command = [program, "--snakefile", source / "Snakefile", "--cores", "2"]
        profile = ["--configfile", source / "quick.yaml", "--directory", folder]
        # the commands of the rules are those of this checkout, as the tests are
        path = os.pathsep.join([str(WORKFLOWS.parent), str(WORKFLOWS.parent / "simulators")])
        result = subprocess.run(
            [*command, *profile, *options],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return run
