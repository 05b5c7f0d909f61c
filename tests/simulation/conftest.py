"""Plug-in simulators as a user would write them."""

from pathlib import Path

import pytest

LINE = '''
import numpy as np
from lfi_mflow.simulation import Events, Observable, Parameter


class Line:
    """A point on a straight line."""

    name = "line"
    parameters = (Parameter("mean", -1.0, 1.0), Parameter("width", 0.1, 2.0))
    observables = (Observable("a"), Observable("b"))
    manifold_dim = 1

    def __init__(self, slope=2.0):
        self.slope = slope

    def simulate(self, theta, rng):
        u = rng.normal(theta[:, 0], theta[:, 1])
        return Events(theta=theta, x=np.stack([u, self.slope * u], axis=1))
'''


@pytest.fixture
def line_source() -> str:
    return LINE


@pytest.fixture
def plugin(tmp_path: Path):
    """Write a file and return its path."""

    def write(text: str = LINE, name: str = "plugin.py") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def line(plugin) -> str:
    """The name of a simulator in a file."""
    return f"{plugin()}:Line"
