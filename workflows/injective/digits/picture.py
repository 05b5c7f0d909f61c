"""Held-out images, what each model makes of them, and what it generates.

::

    python picture.py fif/training-1.json m-flow/training-1.json --events held-out-1.h5 \
        --shape 8 8 -o digits.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.data import open_events
from lfi_mflow.flows import load_model
from lfi_mflow.plots import png
from lfi_mflow.plots.style import INK, MUTED, new_figure

Array = NDArray[np.float64]

SHOWN = 16


def draw_strip(axes: Axes, images: Array, label: str, *, real: bool) -> None:
    """Draw grey images (N, H, W) beside each other, with white between them."""
    framed = np.pad(images, ((0, 0), (0, 0), (0, 1)), constant_values=0)
    axes.imshow(np.hstack(list(framed)), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel(
        label,
        rotation=0,
        ha="right",
        va="center",
        fontsize=8.5,
        color=INK if real else MUTED,
    )


def strips(trainings: list[Path], x: Array, seed: int) -> list[tuple[str, Array]]:
    """Return the name and the images of each strip, with shape (N, d)."""
    found = [("held-out images", x)]
    nothing = np.empty((len(x), 0))
    for path in trainings:
        record = json.loads(path.read_text())
        if record["model"] is None:
            continue  # the table says that it diverged
        model = FlowEvaluator(load_model(path.with_name(record["model"])).flow)
        found.append((f"{record['label']}:\nreconstructed", model.project(x, nothing)))
        found.append(("generated", model.sample(nothing, seed)))
    return found


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--shape", type=int, nargs=2, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with open_events(options.events) as file:
        x = np.asarray(file.read().x[:SHOWN], dtype=float)
    rows = strips(options.trainings, x, seed=1)
    figure = new_figure(9.0, 0.52 * len(rows))
    for index, (axes, (label, images)) in enumerate(
        zip(figure.subplots(len(rows), squeeze=False).flat, rows, strict=True)
    ):
        draw_strip(axes, images.reshape(-1, *options.shape), label, real=index == 0)
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
