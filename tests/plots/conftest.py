"""Random numbers and a training history."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def history():
    def epochs(start, end):
        values = np.geomspace(start, end, 12) if end > 0 else np.linspace(start, end, 12)
        return [
            {"epoch": i, "train": float(v), "validation": float(v) + 0.1, "learning_rate": 1e-3}
            for i, v in enumerate(values)
        ]

    return {
        "phases": [
            {"name": "chart", "best_epoch": 10, "epochs": epochs(1.0, 1e-4)},
            {"name": "latent", "best_epoch": None, "epochs": epochs(9.0, -3.0)},
        ]
    }
