"""Draw the figures of the README from a closure file.

::

    make demo
    .venv/bin/python docs/figures.py demo/closure.json docs
"""

from __future__ import annotations

import sys
from pathlib import Path

from lfi_mflow.closure import ClosureReport
from lfi_mflow.plots import PointCloud, PosteriorCurve, posterior_figure, surface_figure


def main(closure: Path, folder: Path) -> None:
    """Write surface.png and posterior.png."""
    curves = ClosureReport.load(closure).curves
    clouds = [
        PointCloud(title, curves["surface"][key]["x"], curves["surface"][key]["log_prob"], label)
        for title, key, label in (
            ("simulated events", "truth", "log density"),
            ("learned manifold", "model", "log density"),
        )
    ]
    labels = [f"$x_{i}$" for i in range(3)]
    surface_figure(clouds, labels).savefig(folder / "surface.png", dpi=110, bbox_inches="tight")
    panels = [
        PosteriorCurve(**{key: value for key, value in row.items() if key != "parameter"})
        for row in curves["posterior"][:3]
    ]
    posterior_figure(panels, r"$\theta$").savefig(
        folder / "posterior.png", dpi=110, bbox_inches="tight"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
