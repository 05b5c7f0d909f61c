"""The columns of a foreign file, from options or a mapping file."""
# ruff: noqa: PLC0415 - numpy is imported when a command runs

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfi_mflow.errors import ConfigError

if TYPE_CHECKING:
    from lfi_mflow.data import ColumnMapping
    from lfi_mflow.flows import ModelMetadata

__all__ = ["imported_mapping", "mapping_from_options", "observed_mapping"]


def mapping_from_options(
    path: Path | None,
    tree: str | None,
    observables: Sequence[str] = (),
    parameters: Sequence[str] = (),
    weight: str | None = None,
) -> ColumnMapping | None:
    """Return the mapping that the user gave, None if there is none.

    ``tree`` alone is no mapping; with a mapping file it chooses another tree.

    Raises:
        ConfigError: If both a mapping file and columns are given, or an expression
            cannot be read.
    """
    from lfi_mflow.data import ColumnMapping

    columns = (*observables, *parameters, *([] if weight is None else [weight]))
    if path is None:
        if not columns:
            return None
        return ColumnMapping(tree, tuple(observables), tuple(parameters), weight)
    if columns:
        raise ConfigError(
            "the columns either in --mapping or in options", "both", "leave one of them out"
        )
    mapping = ColumnMapping.from_toml(path)
    return mapping if tree is None else dataclasses.replace(mapping, tree=tree)


def observed_mapping(
    metadata: ModelMetadata, path: Path | None, tree: str | None, observables: Sequence[str]
) -> ColumnMapping | None:
    """Return where the observables of a model stand in a file of observed events.

    That is what the user gave; without that, the mapping the training events were
    imported with; without that, branches that are named like the observables
    (None, unless a tree is chosen).
    """
    from lfi_mflow.data import ColumnMapping

    given = mapping_from_options(path, tree, observables)
    if given is not None:
        return given
    if metadata.mapping is not None:
        known = ColumnMapping.from_table(metadata.mapping, "the mapping in the model")
        # Observed events have neither the parameters nor the weights of simulated ones.
        return dataclasses.replace(known, tree=tree or known.tree, parameters=(), weight=None)
    if tree is None:
        return None
    return ColumnMapping(tree, tuple(f"`{name}`" for name in metadata.events.observable_names))


def imported_mapping(provenance: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the mapping that events were imported with, if their provenance holds one."""
    text = provenance.get("mapping")
    return None if text is None else dict(json.loads(text))
