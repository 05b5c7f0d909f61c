"""The studies, and their scripts as modules."""

from __future__ import annotations

import importlib.util
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
