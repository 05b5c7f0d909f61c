"""The README's plug-in works as printed."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lfi_mflow.simulation import check_simulator, get_simulator

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    block = re.search(r"runs this block -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    path = tmp_path / "helix.py"
    path.write_text(block.group(1))
    return path


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("helix", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plugin_conforms(plugin):
    assert len(check_simulator(load(plugin).Helix())) > 5


def test_the_plugin_runs_by_file_name(plugin):
    helix = get_simulator(f"{plugin}:Helix")
    events = helix.simulate(np.zeros((100, 1)), np.random.default_rng(0))
    assert events.x.shape == (100, 3)
    assert np.max(helix.distance(events.x)) < 1e-12


def test_the_plugin_is_about_thirty_lines(plugin):
    assert len(plugin.read_text().splitlines()) <= 35
