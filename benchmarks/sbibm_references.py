"""The reference posteriors of the sbibm benchmark, read from a folder outside the project."""

from __future__ import annotations

import bz2
import os
from pathlib import Path

import numpy as np

from lfi_mflow.simulation import Array

__all__ = ["reference_folder", "reference_samples"]


def reference_folder() -> Path | None:
    """The folder of the reference posteriors, None where there is none on this machine.

    It is ``sbibm`` in the folder that the environment variable ``LFI_MFLOW_TEST_DATA`` names.
    """
    root = os.environ.get("LFI_MFLOW_TEST_DATA")
    folder = Path(root, "sbibm") if root else None
    return folder if folder is not None and folder.is_dir() else None


def reference_samples(folder: Path, task: str, observation: int) -> tuple[Array, Array]:
    """Read an observation (d,) and the 10,000 samples of its reference posterior (N, p)."""
    place = folder / task / f"num_observation_{observation}"
    x = np.loadtxt(place / "observation.csv", delimiter=",", skiprows=1)
    packed = (place / "reference_posterior_samples.csv.bz2").read_bytes()
    lines = bz2.decompress(packed).decode().splitlines()
    return x, np.loadtxt(lines, delimiter=",", skiprows=1)
