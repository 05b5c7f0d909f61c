"""Pure functions of tensors: volumes of maps between spaces."""

from lfi_mflow.geometry.volume import (
    half_log_det_gram,
    log_volume_by_minor,
    log_volume_by_tangents,
)

__all__ = ["half_log_det_gram", "log_volume_by_minor", "log_volume_by_tangents"]
