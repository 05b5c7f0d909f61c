"""Pure functions of tensors: volumes of maps between spaces, transport between clouds."""

from lfi_mflow.geometry.transport import SinkhornDivergence, sinkhorn_divergence
from lfi_mflow.geometry.volume import (
    half_log_det_gram,
    log_volume_bound,
    log_volume_by_minor,
    log_volume_by_tangents,
)

__all__ = [
    "SinkhornDivergence",
    "half_log_det_gram",
    "log_volume_bound",
    "log_volume_by_minor",
    "log_volume_by_tangents",
    "sinkhorn_divergence",
]
