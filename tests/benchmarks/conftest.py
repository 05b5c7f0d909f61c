"""Scripts of benchmarks/ as modules."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """Load a script of benchmarks/ as a module; it sees its neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))

        def load(name):
            spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, name, module)  # dataclasses look it up
            spec.loader.exec_module(module)
            return module

        yield load


@pytest.fixture(scope="module")
def tasks(script):
    return script("sbibm_tasks")
