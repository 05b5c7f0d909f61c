"""The linear rank of points, and how their variance is spread over principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lfi_mflow.geometry.dimension import Estimate
from lfi_mflow.geometry.points import Points

__all__ = ["PrincipalAxes"]


@dataclass(frozen=True)
class PrincipalAxes:
    """The linear rank: an upper bound of n, and n itself where the manifold is flat.

    It says nothing about which n up to the rank is right: curvature alone can raise the
    rank to any value.
    """

    name: ClassVar[str] = "pca"

    def estimate(self, points: Points) -> Estimate:
        """Count the principal axes along which points vary."""
        return Estimate(
            self.name,
            float(points.rank),
            None,
            np.zeros(points.rank),
            "linear rank, an upper bound",
            {"spectrum": points.spectrum.tolist()},
        )
