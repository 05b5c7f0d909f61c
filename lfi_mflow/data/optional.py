"""Packages that only some files need."""

from __future__ import annotations

import importlib
from typing import Any

from lfi_mflow.errors import InputError

__all__ = ["require"]


def require(module: str, purpose: str) -> Any:
    """Import a module of the extra ``[physics]``.

    Arguments:
        module: Its name, such as ``"pyarrow.parquet"``.
        purpose: What needs it, such as ``"read LHE files"``.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"the package {module.partition('.')[0]} to {purpose}",
            "none",
            "install it with: pip install 'lfi-mflow[physics]'",
        ) from error
