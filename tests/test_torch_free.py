"""Workers that only simulate must stay light: no torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "zuko", "sbi", "sklearn", "matplotlib")


@pytest.mark.parametrize(
    "module",
    [
        "lfi_mflow.simulation",
        "lfi_mflow.data",
        "lfi_mflow_simulators.h4l",
        "lfi_mflow_simulators.higgs_eft",
        "lfi_mflow_simulators.lorenz",
        "lfi_mflow_simulators.polynomial_surface",
        "lfi_mflow_simulators.pythia_vbf_h4l",
        "lfi_mflow_simulators.sphere",
    ],
)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_simulation_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from lfi_mflow.simulation import SimulationJob, get_simulator, simulate_chunk\n"
        "job = SimulationJob('polynomial-surface', {}, 10, 0, theta=(0.0,))\n"
        "simulate_chunk(job, 0); get_simulator('sphere')\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
