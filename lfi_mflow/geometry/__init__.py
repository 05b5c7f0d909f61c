"""Pure functions of tensors: volumes of maps between spaces, transport between clouds."""

from lfi_mflow.geometry.krylov import (
    LanczosVolume,
    Solution,
    conjugate_gradient,
    gram_product,
    log_volume_by_lanczos,
)
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
    log_volume_by_tangents,
)

__all__ = [
    "LanczosVolume",
    "SinkhornDivergence",
    "Solution",
    "conjugate_gradient",
    "gram_product",
    "half_log_det_gram",
    "log_volume_bound",
    "log_volume_by_lanczos",
    "log_volume_by_minor",
    "log_volume_by_tangents",
    "orthogonal_probes",
    "pull_back",
    "push_forward",
    "recorded_pull_back",
    "recorded_push_forward",
    "sinkhorn_divergence",
]
