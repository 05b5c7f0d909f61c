"""Precisions of a training: of all numbers, and of the factors of products on a GPU.

A GPU multiplies matrices several times faster if it rounds their factors to 10 bits after the
point (TF32). A training comes to the same with it; a density does not, and a likelihood ratio of
many events still less (``benchmarks/rounding.py``). So it is for training alone, and only where it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch

from lfi_mflow.errors import ConfigError

__all__ = ["DTYPES", "Precision", "rounded_products"]

Precision = Literal["single", "double", "tf32"]
DTYPES: Mapping[Precision, torch.dtype] = {
    "single": torch.float32,
    "double": torch.float64,
    "tf32": torch.float32,
}


@contextmanager
def rounded_products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Let a GPU round the factors of products if the precision is ``"tf32"``, and else not.

    Torch rounds those of convolutions unless it is told otherwise.

    Raises:
        ConfigError: If they are to be rounded on a device that does not do it.
    """
    rounds = precision == "tf32"
    if rounds and device.type != "cuda":
        raise ConfigError(
            "an NVIDIA GPU for precision = 'tf32'", f"the device {device}", "take 'single'"
        )
    of_matrices = torch.get_float32_matmul_precision()
    of_convolutions = torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high" if rounds else "highest")
        torch.backends.cudnn.allow_tf32 = rounds
        yield
    finally:
        torch.set_float32_matmul_precision(of_matrices)
        torch.backends.cudnn.allow_tf32 = of_convolutions
