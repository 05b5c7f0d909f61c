"""From an event file to a model: configuration, device, training, metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lfi_mflow.config import from_table, read_toml
from lfi_mflow.data import EventSource, open_together
from lfi_mflow.errors import ConfigError, DataError, UnknownNameError
from lfi_mflow.flows import (
    Dimensions,
    Flow,
    Model,
    ModelMetadata,
    build_flow,
    get_preset,
    weights_digest,
)
from lfi_mflow.provenance import provenance
from lfi_mflow.training.checkpoint import CheckpointFile
from lfi_mflow.training.distances import distances_of_validation
from lfi_mflow.training.events import COLUMNS, ResidentEvents, TrainingEvents, check_events
from lfi_mflow.training.loop import fit
from lfi_mflow.training.phase_run import ProgressCallback
from lfi_mflow.training.phases import ALGORITHMS, Phase
from lfi_mflow.training.precision import DTYPES, Precision, rounded_products
from lfi_mflow.training.shared_chart import check_shared, density_only, take_chart
from lfi_mflow.training.streamed_events import StreamedEvents
from lfi_mflow.training.taught_events import TaughtEvents
from lfi_mflow.training.weights import check_weights

__all__ = ["RunConfig", "read_run_config", "resolve_device", "train_model"]

_JOINT_OPTIONS = {"score": "--set score=true", "log_ratio": "--set reference=-1"}

_WITHOUT = {
    "score": "learn that of a ratio estimator (--score-of), or choose an algorithm without",
    "log_ratio": "or choose an algorithm that does without",
}


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a training run, the content of a ``run.toml``.

    Arguments:
        model: Name of the preset.
        latent_dim: Dimension n of the manifold; 0 takes it from the event file, or
            all dimensions for a model that learns no manifold.
        seed: Seed of weights, split and order.
        precision: ``"single"``, ``"double"``, or on a GPU ``"tf32"``: single precision, but
            while it is trained, products of matrices are rounded and take less time.
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

    def with_compiled_losses(self) -> RunConfig:
        """Return the configuration with compiled losses in all phases where they can be."""
        phases = tuple(
            dataclasses.replace(phase, compiles=phase.minimises.compiles) for phase in self.schedule
        )
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

    Torch rounds convolutions on GPUs (TF32) unless it is told otherwise: it is.

    Raises:
        ConfigError: If there is no such device.
    """
    torch.backends.cudnn.allow_tf32 = False
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


def train_model(  # noqa: PLR0913 - two models may be given, by keyword
    path: Path | str | Sequence[Path | str],
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    drop_nonfinite: bool = False,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
    chart_of: Model | None = None,
    score_of: Model | None = None,
) -> Model:
    """Train a model on an event file.

    Arguments:
        path: The event file, or several, see :class:`lfi_mflow.data.MergedFiles`.
        config: What to train and how.
        device: Where to train.
        drop_nonfinite: Leave events with NaN or infinite values out, and count them.
        checkpoint: File for the state; if it exists, the run goes on from it.
        progress: See :func:`lfi_mflow.training.fit`.
        chart_of: A model whose chart is taken as it is, for a further process in the same
            events: only the latent density is trained.
        score_of: A ratio estimator whose score is learnt in the place of a joint one.

    Raises:
        FileFormatError, DataError, ConfigError: If file and configuration do not fit; see
            :func:`lfi_mflow.training.check_weights` for the weights of events.
        ModelMismatchError: If the model with the chart, or the ratio estimator, has other
            observables.
        TrainingError: If too many losses or gradients are not finite.
        Interrupted: On Ctrl-C.
    """
    device = torch.device(device)
    if chart_of is not None:
        config = density_only(chart_of, config)
    with open_together(path) as source:
        file = source if score_of is None else TaughtEvents(source, score_of, device)
        if chart_of is not None:
            check_shared(chart_of, file.metadata, file.name)
        bad = check_events(file, drop_nonfinite=drop_nonfinite)
        _check_joint(file, config, taught=score_of is not None)
        weights = check_weights(file, config.schedule)
        dimensions = _dimensions(file, config)
        given = {"chart_of": chart_of, "score_of": score_of}
        taken = {name: weights_digest(model.flow) for name, model in given.items() if model}
        run = {"configuration": _run_table(config), "events": file.digest, **taken}
        flow = _initial_flow(config, dimensions, chart_of).to(device)
        unused = set() if weights is None or weights.used else {"weight"}
        events = _training_events(file, config, dimensions, device, {*COLUMNS} - unused)
        with rounded_products(config.precision, device):
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
                "weights": None if weights is None else weights.to_table(),
                "lacks": _untrained(config.schedule),
                **distances_of_validation(flow, events),
                **taken,
            },
            history=history.to_table(),
            provenance=provenance(),
        )
    return Model(flow, metadata)


def _check_joint(file: EventSource, config: RunConfig, *, taught: bool) -> None:
    """Fail if a phase needs joint scores or log-ratios that the events do not have.

    Or if a ratio estimator has been given, whose score no phase would learn.
    """
    if taught and not any(_needs(phase, "score") for phase in config.schedule):
        raise ConfigError(
            "a phase that learns the score, with that of a ratio estimator",
            ", ".join(phase.objective for phase in config.schedule),
            "add a phase with the objective scandal, or choose such an algorithm",
        )
    for column, what in (("score", "score"), ("log_ratio", "log-ratio")):
        phases = [phase for phase in config.schedule if _needs(phase, column)]
        if phases and column not in file.columns:
            raise DataError(
                f"events with a joint {what} in {file.name}, for the objective "
                f"{phases[0].objective!r}",
                "none",
                f"simulate them with it if the simulator offers it ({_JOINT_OPTIONS[column]} for "
                f"polynomial-surface), {_WITHOUT[column]}",
            )


def _needs(phase: Phase, column: str) -> bool:
    """Say whether a phase needs a column of the simulator's joint quantities."""
    needs: bool = getattr(phase.minimises, f"needs_{column}")
    return needs


def _untrained(schedule: tuple[Phase, ...]) -> list[str]:
    """Name what a flow cannot do because nothing trained it."""
    charts_only = all(phase.minimises.part == "chart" for phase in schedule)
    return ["log_prob"] if charts_only else []


def _run_table(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain values, with the phases spelt out."""
    phases = [dataclasses.asdict(phase) for phase in config.schedule]
    return {**dataclasses.asdict(config), "phases": phases}


def _all_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings of the flow with the defaults spelt out: those may change one day."""
    kind = get_preset(config.model).settings
    settings = from_table(kind, config.settings, f"the settings of {config.model}")
    return dataclasses.asdict(settings)


def _dimensions(file: EventSource, config: RunConfig) -> Dimensions:
    """Take the dimensions from the file and the configuration."""
    data = len(file.metadata.observables)
    ambient = get_preset(config.model).ambient
    latent = config.latent_dim or (data if ambient else file.metadata.manifold_dim)
    if latent is None:
        raise ConfigError(
            "the manifold's dimension n",
            f"none in {file.name} and none given",
            "give --latent-dim n",
        )
    return Dimensions(data=data, latent=latent, theta=len(file.metadata.parameters))


def _initial_flow(config: RunConfig, dimensions: Dimensions, chart_of: Model | None) -> Flow:
    """Build the flow with seeded weights, leaving the global random state alone."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        flow = build_flow(config.model, dimensions, config.settings)
    if chart_of is not None:
        return take_chart(flow, chart_of, config.schedule)
    return flow.to(DTYPES[config.precision])


def _training_events(
    file: EventSource,
    config: RunConfig,
    dimensions: Dimensions,
    device: torch.device,
    columns: Collection[str],
) -> TrainingEvents:
    """Keep the events on the device if they fit, otherwise stream them."""
    dtype = DTYPES[config.precision]
    # features, their standardised copy, parameters and the random order
    width = 2 * dimensions.data + dimensions.theta + 4
    width += dimensions.theta * ("score" in file.columns) + ("log_ratio" in file.columns)
    if len(file) * width * dtype.itemsize > config.resident_bytes:
        return StreamedEvents(
            file,
            dtype=dtype,
            device=device,
            validation_fraction=config.validation_fraction,
            columns=columns,
        )
    return ResidentEvents.read(
        file,
        dtype=dtype,
        device=device,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        columns=columns,
    )
