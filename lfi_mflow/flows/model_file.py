"""The model file: one file that holds a trained flow and all that is needed to use it.

A ``.mflow`` file is a safetensors file: weights and standardisation as tensors,
everything else as one JSON text in its header, and the SHA-256 of both. Nothing in it
is ever executed, so files from strangers can be opened.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lfi_mflow.config import from_table
from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError
from lfi_mflow.files import atomic_output, require_file
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.presets import build_flow, get_preset
from lfi_mflow.flows.settings import Dimensions

__all__ = ["Model", "ModelMetadata", "load_model", "save_model", "weights_digest"]

SCHEMA_VERSION = 1
_KEY = "lfi_mflow"
_DIGEST = "sha256"

RESIDUAL_MASS = 0.6827
"""Share of the residuals of validation events within the ``residual_widths`` of a model."""


@dataclass(frozen=True)
class ModelMetadata:
    """What a trained model is and where it comes from.

    Arguments:
        preset: Name of the preset.
        dimensions: Dimensions of data, manifold and parameters.
        settings: Settings of the flow, as :func:`lfi_mflow.flows.build_flow` takes them.
        events: What the training events were: names, units, simulator, prior.
        digest: SHA-256 of the training events.
        n_events: Number of training events, validation included.
        training: Configuration of the training, its seed, and what it measured:
            ``distance_quantiles`` are 1001 quantiles of the distance of the
            ``n_validation`` validation events to the manifold, ``n_reference`` the
            effective number of these events, ``residual_widths`` the half-width of
            each observable's difference to the projection that holds 68 % of them,
            ``plane_distance`` and ``centre_distance`` their mean distances to the plane
            of the first n principal axes and to the mean of all events. A model without a
            manifold has none of them. ``weights`` says what was made of the weights
            of the events, ``lacks`` what the flow cannot do for want of training.
        history: Losses and rates by phase and epoch.
        mapping: Column mapping of the training file, if it was imported.
        provenance: Versions, command and time.
    """

    preset: str
    dimensions: Dimensions
    settings: Mapping[str, Any]
    events: EventMetadata
    digest: str
    n_events: int
    training: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        plain = {
            "dimensions": dataclasses.asdict(self.dimensions),
            "events": self.events.to_table(),
        }
        return {**fields, **plain}

    @staticmethod
    def from_table(table: Mapping[str, Any]) -> ModelMetadata:
        """Rebuild the metadata from :meth:`to_table`.

        Raises:
            ConfigError: If a key is missing or its value has another type.
        """
        if not isinstance(table.get("events"), Mapping):
            raise ConfigError("the table 'events' in the model's metadata", "none", "retrain")
        events = EventMetadata.from_table(table["events"])
        return from_table(ModelMetadata, {**table, "events": events}, "the model's metadata")


@dataclass(frozen=True)
class Model:
    """A trained flow with its metadata.

    Arguments:
        flow: The flow, in evaluation mode.
        metadata: What it is and where it comes from. What the flow lacks for want of
            training is noted in the flow.
    """

    flow: Flow
    metadata: ModelMetadata

    def __post_init__(self) -> None:
        """Note what was not trained: nobody may mistake an initial density for a learned one."""
        lacking = self.metadata.training.get("lacks")
        if isinstance(lacking, list | tuple) and "log_prob" in lacking:
            self.flow.lacks = self.flow.lacks | {"log_prob"}


def save_model(model: Model, path: Path | str) -> None:
    """Write a model file; the old one stays until the new one is complete.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.flow.state_dict().items()
    }
    header = {"schema_version": SCHEMA_VERSION, **model.metadata.to_table()}
    text = json.dumps(header, allow_nan=False)
    content = save(tensors, metadata={_KEY: text, _DIGEST: _digest(text, tensors)})
    with atomic_output(Path(path)) as temporary:
        temporary.write_bytes(content)


def load_model(path: Path | str, device: str | torch.device = "cpu") -> Model:
    """Read a model file.

    Arguments:
        path: The file.
        device: Where the flow is to live.

    Raises:
        FileFormatError: If the file is missing, truncated, not a model file, or
            of another schema version.
    """
    path = require_file(Path(path), "a model file")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            texts = file.metadata() or {}
            header = _read_header(texts, path)
            metadata = ModelMetadata.from_table(header)
            _check_sizes(metadata, [file.get_slice(name).get_shape() for name in file.keys()])  # noqa: SIM118
            flow = build_flow(metadata.preset, metadata.dimensions, metadata.settings)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ConfigError, UnknownNameError) as error:
        raise FileFormatError(
            f"a model file at {path}", f"a damaged or foreign file ({error})", "train it again"
        ) from error
    _check_digest(texts, tensors, path)
    _load_weights(flow, tensors, path)
    return Model(flow.to(device).eval(), metadata)


def _read_header(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the JSON of the header, checked for its schema version."""
    try:
        header = dict(json.loads(metadata[_KEY]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"a model file at {path}", "a safetensors file of something else", "check the path"
        ) from error
    version = header.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise FileFormatError(
            f"model schema version {SCHEMA_VERSION} in {path}",
            f"version {version}",
            "train the model again with this version of lfi-mflow",
        )
    return header


def weights_digest(flow: Flow) -> str:
    """Return the SHA-256 of the weights and of all that is fitted beside them."""
    return _digest("", flow.state_dict())


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the header and of the names, types, shapes and bytes of tensors."""
    total = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _check_digest(texts: Mapping[str, str], tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Fail if a bit of the file is not as it was written; the first files knew no digest."""
    whole = _DIGEST not in texts or texts[_DIGEST] == _digest(texts[_KEY], tensors)
    if not whole or not set(texts) <= {_KEY, _DIGEST}:
        raise FileFormatError(
            f"a model file at {path} with the SHA-256 that it states",
            "another: it was changed or damaged",
            "restore it from a copy, or train it again",
        )


def _check_sizes(metadata: ModelMetadata, shapes: list[list[int]]) -> None:
    """Fail before a flow is built that cannot be the one in the file.

    A header may say anything; building what it says must not take more memory
    than the file itself.
    """
    dimensions, events = metadata.dimensions, metadata.events
    if (dimensions.data, dimensions.theta) != (len(events.observables), len(events.parameters)):
        raise ConfigError("as many observables and parameters as dimensions", "others", "retrain")
    kind = get_preset(metadata.preset).settings
    settings = from_table(kind, metadata.settings, "the settings of the model")
    least, found = settings.least_elements(dimensions), sum(math.prod(shape) for shape in shapes)
    if least > found:
        raise ConfigError(f"at least {least} weights", f"{found}", "retrain")


def _load_weights(flow: Flow, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Fill the flow; names and shapes must agree exactly."""
    if tensors and all(
        value.dtype == torch.float64 for value in tensors.values() if value.is_floating_point()
    ):
        flow.double()
    try:
        flow.load_state_dict(tensors)
    except RuntimeError as error:
        first_line = str(error).splitlines()[-1].strip()
        raise FileFormatError(
            f"the weights of the model in {path}",
            f"those of another version, or of a damaged file ({first_line})",
            "train it again",
        ) from error
