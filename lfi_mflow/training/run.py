"""From an event file to a model: configuration, device, training, metadata."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.config import from_table, read_toml
from lfi_mflow.data import EventFile
from lfi_mflow.errors import ConfigError, DataError, UnknownNameError
from lfi_mflow.flows import (
    Dimensions,
    Flow,
    Model,
    ModelMetadata,
    build_flow,
    get_preset,
)
from lfi_mflow.flows.model_file import RESIDUAL_MASS
from lfi_mflow.provenance import provenance
from lfi_mflow.training.checkpoint import CheckpointFile
from lfi_mflow.training.events import (
    ResidentEvents,
    StreamedEvents,
    TrainingEvents,
    check_events,
)
from lfi_mflow.training.loop import ProgressCallback, fit
from lfi_mflow.training.phases import ALGORITHMS, Phase

__all__ = ["RunConfig", "read_run_config", "resolve_device", "train_model"]

Precision = Literal["single", "double"]
_DTYPES = {"single": torch.float32, "double": torch.float64}
_QUANTILES = 1001
_RESIDUAL_EVENTS = 100_000  # whose residuals are kept in memory


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a training run, the content of a ``run.toml``.

    Arguments:
        model: Name of the preset.
        latent_dim: Dimension n of the manifold; 0 takes it from the event file, or
            all dimensions for a model that learns no manifold.
        seed: Seed of weights, split and order.
        precision: ``"single"`` or ``"double"``.
        validation_fraction: Fraction of the events for validation.
        resident_bytes: Largest size of the features, parameters and latents
            that are kept on the device; larger files are streamed.
        settings: Settings of the flow, see the ``settings`` of its
            :class:`lfi_mflow.flows.Preset`.
        algorithm: Name of the training algorithm, a key of ``ALGORITHMS``; None
            takes the phases, or without any the default of the model.
        phases: A training algorithm spelt out; None takes the named one.
    """

    model: str = "m-flow"
    latent_dim: int = 0
    seed: int = 0
    precision: Precision = "single"
    validation_fraction: float = 0.1
    resident_bytes: int = 2**30
    settings: dict[str, Any] = field(default_factory=dict)
    algorithm: str | None = None
    phases: tuple[Phase, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        _check_algorithm(self)
        if not 0 <= self.seed < 2**63:
            raise ConfigError("0 <= seed < 2^63", str(self.seed), "choose another")
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(
                "0 < validation_fraction < 1", str(self.validation_fraction), "correct it"
            )

    @property
    def schedule(self) -> tuple[Phase, ...]:
        """What is trained: the phases, those of the algorithm, or those of the model's default."""
        if self.phases is not None:
            return self.phases
        return ALGORITHMS[self.algorithm or get_preset(self.model).algorithms[0]]()

    def with_epochs(self, epochs: int) -> RunConfig:
        """Return the configuration with another number of epochs in every phase."""
        phases = tuple(dataclasses.replace(phase, epochs=epochs) for phase in self.schedule)
        return dataclasses.replace(self, algorithm=None, phases=phases)


def _check_algorithm(config: RunConfig) -> None:
    """Check that a model and its training algorithm exist and suit each other."""
    suitable = get_preset(config.model).algorithms
    if config.phases is not None:
        if config.algorithm is not None:
            raise ConfigError(
                "an algorithm or [[phases]]", "both", "keep the one that is to be used"
            )
        if not config.phases:
            raise ConfigError("at least one phase", "none", "add a [[phases]] table")
    elif config.algorithm is not None and config.algorithm not in suitable:
        known = f"the model {config.model} trains with: {', '.join(suitable)}"
        raise UnknownNameError("training algorithm", config.algorithm, suitable, known)


def read_run_config(path: Path | str) -> RunConfig:
    """Read a configuration from TOML.

    Raises:
        FileFormatError: If the file is missing or is not TOML.
        UnknownNameError: If a key is unknown; the nearest are offered.
        ConfigError: If a value is missing, of another type or out of range.
    """
    return from_table(RunConfig, read_toml(Path(path)), str(path))


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; ``"auto"`` is the fastest there is.

    Raises:
        ConfigError: If there is no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name.split(":", maxsplit=1)[0], False):
        there = ", ".join(kind for kind, there in available.items() if there)
        raise ConfigError(f"a device of this machine ({there})", repr(name), "use --device auto")
    return torch.device(name)


def train_model(
    path: Path | str,
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    drop_nonfinite: bool = False,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Model:
    """Train a model on an event file.

    Arguments:
        path: The event file.
        config: What to train and how.
        device: Where to train.
        drop_nonfinite: Leave events with NaN or infinite values out, and count them.
        checkpoint: File for the state; if it exists, the run goes on from it.
        progress: See :func:`lfi_mflow.training.fit`.

    Raises:
        FileFormatError, DataError, ConfigError: If file and configuration do not fit.
        TrainingError: If a loss or gradient is not finite.
        Interrupted: On Ctrl-C.
    """
    path, device = Path(path), torch.device(device)
    with EventFile(path) as file:
        bad = check_events(file, path, drop_nonfinite=drop_nonfinite)
        _check_score(file, config)
        dimensions = _dimensions(file, config)
        run = {"configuration": _run_table(config), "events": file.digest}
        flow = _initial_flow(config, dimensions).to(device)
        events = _training_events(file, config, dimensions, device)
        history = fit(
            flow,
            config.schedule,
            events,
            seed=config.seed,
            units=[observable.unit for observable in file.metadata.observables],
            checkpoints=None if checkpoint is None else CheckpointFile(checkpoint, run),
            progress=progress,
        )
        metadata = ModelMetadata(
            preset=config.model,
            dimensions=dimensions,
            settings=_all_settings(config),
            events=file.metadata,
            digest=file.digest,
            n_events=events.n_train + events.n_validation,
            training={
                "configuration": _run_table(config),
                "nonfinite": bad,
                "n_validation": events.n_validation,
                **_distances(flow, events),
            },
            history=history.to_table(),
            provenance=provenance(),
        )
    return Model(flow, metadata)


def _check_score(file: EventFile, config: RunConfig) -> None:
    """Fail if a phase needs joint scores that the events do not have."""
    needy = [phase for phase in config.schedule if phase.minimises.needs_score]
    if needy and "score" not in file.columns:
        raise DataError(
            f"events with a joint score in {file.path}, for the objective {needy[0].objective!r}",
            "none",
            "simulate them with --set score=true if the simulator offers it, or train with "
            'algorithm = "sequential"',
        )


def _run_table(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain values, with the phases spelt out."""
    phases = [dataclasses.asdict(phase) for phase in config.schedule]
    return {**dataclasses.asdict(config), "phases": phases}


def _all_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings of the flow with the defaults spelt out: those may change one day."""
    kind = get_preset(config.model).settings
    settings = from_table(kind, config.settings, f"the settings of {config.model}")
    return dataclasses.asdict(settings)


def _dimensions(file: EventFile, config: RunConfig) -> Dimensions:
    """Take the dimensions from the file and the configuration."""
    data = len(file.metadata.observables)
    ambient = get_preset(config.model).ambient
    latent = config.latent_dim or (data if ambient else file.metadata.manifold_dim)
    if latent is None:
        raise ConfigError(
            "the manifold's dimension n",
            f"none in {file.path} and none given",
            "give --latent-dim n",
        )
    return Dimensions(data=data, latent=latent, theta=len(file.metadata.parameters))


def _initial_flow(config: RunConfig, dimensions: Dimensions) -> Flow:
    """Build the flow with seeded weights, leaving the global random state alone."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        flow = build_flow(config.model, dimensions, config.settings)
    return flow.to(_DTYPES[config.precision])


def _training_events(
    file: EventFile, config: RunConfig, dimensions: Dimensions, device: torch.device
) -> TrainingEvents:
    """Keep the events on the device if they fit, otherwise stream them."""
    dtype = _DTYPES[config.precision]
    # features, their standardised copy, parameters and the random order
    columns = 2 * dimensions.data + dimensions.theta + 4
    columns += dimensions.theta * ("score" in file.columns)
    if len(file) * columns * dtype.itemsize > config.resident_bytes:
        return StreamedEvents(
            file, dtype=dtype, device=device, validation_fraction=config.validation_fraction
        )
    return ResidentEvents.read(
        file,
        dtype=dtype,
        device=device,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )


@torch.no_grad()
def _distances(flow: Flow, events: TrainingEvents) -> dict[str, Any]:
    """Return 1001 quantiles of the distance of validation events to the manifold.

    Beside them, the width of the residuals of each observable, and the mean distances to
    the plane of the first n principal axes, for a chart that is worse has learnt nothing,
    and to the centre of all events.
    Where there is no manifold, or no way to project on it, there is nothing to measure.
    """
    if flow.chart is None or "encode" in flow.lacks:
        return {}
    blocks: list[tuple[Tensor, Tensor, Tensor]] = []
    residuals: list[Tensor] = []
    for batch in events.validation_events():
        x = batch.prepared
        plane, centre = (_axes_distance(flow, x, axes) for axes in (flow.latent_dim, 0))
        residual = x - flow.project(x, batch.theta)
        blocks.append((residual.norm(dim=-1), plane, centre))
        if sum(map(len, residuals)) < _RESIDUAL_EVENTS:
            residuals.append(residual[:_RESIDUAL_EVENTS].cpu())
    distances, planes, centres = (
        torch.cat(parts).cpu().double() for parts in zip(*blocks, strict=True)
    )
    # numpy, because torch.quantile refuses more than 16 million values
    quantiles = np.quantile(distances.numpy(), np.linspace(0, 1, _QUANTILES))
    return {
        "distance_quantiles": [float(value) for value in quantiles],
        "residual_widths": _widths(torch.cat(residuals)),
        "plane_distance": planes.mean().item(),
        "centre_distance": centres.mean().item(),
    }


def _widths(residuals: Tensor) -> list[float]:
    """Return the half-widths that hold 68 % of the residuals of each observable: (B, d) -> d."""
    sizes = residuals.double().abs().numpy()
    return [float(width) for width in np.quantile(sizes, RESIDUAL_MASS, axis=0)]


def _axes_distance(flow: Flow, x: Tensor, axes: int) -> Tensor:
    """Distance of events to the plane of the first principal axes: (B, d) -> (B,)."""
    standardised = flow.standardisation.inverse(x)
    standardised[..., axes:] = 0
    return (x - flow.standardisation(standardised)).norm(dim=-1)
