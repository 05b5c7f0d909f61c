"""lfi-mflow: likelihood-free inference with manifold-learning flows.

The package is used by the names of its rooms::

    from lfi_mflow import simulation, data, flows, training, inference, closure

Importing ``lfi_mflow`` itself, ``lfi_mflow.simulation`` or ``lfi_mflow.data``
never imports torch, so that workers which only simulate stay light.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
