"""Targets are data: a table by simulator that a user can replace."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from lfi_mflow.closure.record import Comparison, Target
from lfi_mflow.config import read_toml
from lfi_mflow.errors import ConfigError, UnknownNameError

__all__ = ["METRICS", "load_targets"]

METRICS = (
    "manifold_distance",
    "reconstruction_error",
    "posterior_mmd2",
    "posterior_kl",
    "ood_auc",
    "log_density_error",
    "kinematic_closure",
    "log_posterior_at_truth",
    "log_posterior_at_truth_exact",
    "log_posterior_at_truth_error",
    "sbc_p_value",
    "coverage_68",
    "coverage_95",
    "tarp_p_value",
    "lc2st_p_value",
    "likelihood_calibration",
    "c2st",
    "off_manifold_p_value",
    "distance_theta_dependence",
    "ratio_calibration",
    "ratio_normalisation",
)
"""The metrics that :func:`lfi_mflow.closure.run_closure` computes, in order."""


def load_targets(path: Path | None = None, simulator: str = "") -> dict[str, Target]:
    """Targets of a simulator, those under ``[default]`` included.

    Arguments:
        path: A TOML file with a table per simulator such as
            ``ood_auc = { at_least = 0.99 }``; None for the one that comes with
            the package.
        simulator: Registered name of the simulator.

    Raises:
        FileFormatError: If the file is missing or is not TOML.
        InputError: If a metric or a comparison is unknown, or a limit is no number.
    """
    if path is None:
        source = resources.files("lfi_mflow.closure") / "targets.toml"
        tables, where = tomllib.loads(source.read_text(encoding="utf-8")), "targets.toml"
    else:
        tables, where = read_toml(path), str(path)
    merged = {**_table(tables, "default", where), **_table(tables, simulator, where)}
    return {name: _target(name, row, where) for name, row in merged.items()}


def _table(tables: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """One table of the file, empty if it is not there."""
    table = tables.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"a table [{name}] in {where}", repr(table), "correct it")
    return table


def _target(name: str, row: Any, where: str) -> Target:
    """Read ``{ at_most = 0.05 }``."""
    if name not in METRICS:
        raise UnknownNameError(f"metric in {where}", name, METRICS)
    if not isinstance(row, Mapping) or len(row) != 1:
        raise ConfigError(
            f"{name} = {{ at_most = ... }}, at_least or compatible_with, in {where}",
            repr(row),
            "correct it",
        )
    ((comparison, limit),) = row.items()
    if comparison not in get_args(Comparison):
        raise UnknownNameError(f"comparison in {where}", comparison, get_args(Comparison))
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise ConfigError(f"a number for {name} in {where}", repr(limit), "correct it")
    return Target(float(limit), comparison)
