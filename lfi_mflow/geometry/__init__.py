"""Volumes of maps, transport between clouds, and the dimension of the manifold of points."""

from lfi_mflow.geometry.dimension import (
    Dimension,
    DimensionEstimator,
    Estimate,
    skewed_log_weights,
    weigh,
)
from lfi_mflow.geometry.krylov import (
    LanczosVolume,
    Solution,
    conjugate_gradient,
    gram_product,
    log_volume_by_lanczos,
)
from lfi_mflow.geometry.local_relations import LocalRelations
from lfi_mflow.geometry.neighbours import MaximumLikelihood, TwoNearestNeighbours
from lfi_mflow.geometry.points import Points, prepare_points
from lfi_mflow.geometry.principal_axes import PrincipalAxes
from lfi_mflow.geometry.products import (
    orthogonal_probes,
    pull_back,
    push_forward,
    recorded_pull_back,
    recorded_push_forward,
)
from lfi_mflow.geometry.transport import SinkhornDivergence, sinkhorn_divergence
from lfi_mflow.geometry.volume import (
    half_log_det_gram,
    log_volume_bound,
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)

__all__ = [
    "Dimension",
    "DimensionEstimator",
    "Estimate",
    "LanczosVolume",
    "LocalRelations",
    "MaximumLikelihood",
    "Points",
    "PrincipalAxes",
    "SinkhornDivergence",
    "Solution",
    "TwoNearestNeighbours",
    "conjugate_gradient",
    "gram_product",
    "half_log_det_gram",
    "log_volume_bound",
    "log_volume_by_lanczos",
    "log_volume_by_minor",
    "log_volume_by_push",
    "log_volume_by_tangents",
    "orthogonal_probes",
    "prepare_points",
    "pull_back",
    "push_forward",
    "recorded_pull_back",
    "recorded_push_forward",
    "sinkhorn_divergence",
    "skewed_log_weights",
    "weigh",
]
