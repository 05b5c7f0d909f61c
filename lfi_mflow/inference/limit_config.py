"""What limits are computed of: a ``limits.toml``, and the experiment that it describes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from lfi_mflow.config import from_table, read_toml
from lfi_mflow.errors import ConfigError, ModelMismatchError, UnknownNameError
from lfi_mflow.flows import Flow, Model, load_model
from lfi_mflow.inference.experiment import (
    Constraint,
    CountingExperiment,
    EventSource,
    LikelihoodFactory,
    domain_of,
)
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.inference.normalisations import (
    Normalisations,
    from_model_parameters,
    of_model_parameters,
)
from lfi_mflow.inference.processes import (
    Process,
    ProcessLikelihood,
    mixture_events,
    require_one_chart,
    total_rate,
)
from lfi_mflow.inference.rates import ExpectedEvents, Rate, polynomial_cross_section, rate_of
from lfi_mflow.inference.sources import surrogate_events
from lfi_mflow.simulation import Array, Parameter, Prior, Simulator, get_recorded_simulator

__all__ = [
    "AuxiliaryMeasurement",
    "LimitConfig",
    "ProcessConfig",
    "build_experiment",
    "read_limit_config",
    "simulator_of",
]

LUMINOSITY = "luminosity"
"""Name of the parameter that the luminosity becomes if it is uncertain."""
_POINTS = 10_000


@dataclass(frozen=True)
class AuxiliaryMeasurement:
    """What else is known of a nuisance parameter.

    Arguments:
        measured: The measured value.
        width: Its standard deviation.
    """

    measured: float
    width: float


@dataclass(frozen=True)
class ProcessConfig:
    """A process beside that of the model.

    Arguments:
        model: Its model file, trained with ``--chart-of`` the model.
        cross_section: Components of its cross-section in pb, of the monomials of its
            parameters, or one number; the simulator's if there are none.
        efficiency: What the selection keeps of it.
        uncertainty: Relative standard deviation of its expected number of events.
        simulator: Its simulator, where that is not a registered one.
    """

    model: Path
    cross_section: tuple[float, ...] = ()
    efficiency: float = 1.0
    uncertainty: float = 0.0
    simulator: str | None = None


@dataclass(frozen=True)
class LimitConfig:
    """What limits are computed of.

    Arguments:
        luminosity: Integrated luminosity in 1/pb.
        luminosity_uncertainty: Its relative standard deviation.
        shape_only: Leave the number of events out of the likelihood.
        efficiency: What the selection keeps of the events that the cross-section counts.
        cross_section: Components of the cross-section in pb; the simulator's if there
            are none.
        interest: Names of the parameters of interest; all but the nuisances by default.
        nuisances: Auxiliary measurements by name of the parameter.
        processes: Further processes by name.
        simulator: The simulator, where that is not a registered one.
    """

    luminosity: float | None = None
    luminosity_uncertainty: float = 0.0
    shape_only: bool = False
    efficiency: float = 1.0
    cross_section: tuple[float, ...] = ()
    interest: tuple[str, ...] = ()
    nuisances: Mapping[str, AuxiliaryMeasurement] = field(default_factory=dict)
    processes: Mapping[str, ProcessConfig] = field(default_factory=dict)
    simulator: str | None = None

    def check(self) -> None:
        """Check that it says whether the number of events counts.

        Raises:
            ConfigError: If neither a luminosity nor ``shape_only`` is given, or both are.
        """
        if self.luminosity is None and not self.shape_only:
            raise ConfigError(
                "a luminosity, or shape only",
                "neither",
                "give --luminosity in 1/pb, or add --shape-only to leave the number of events out",
            )
        if self.luminosity is not None and self.shape_only:
            raise ConfigError("a luminosity, or shape only", "both", "leave one of them out")
        if self.shape_only and self.luminosity_uncertainty:
            raise ConfigError(
                "a luminosity with its uncertainty",
                "shape only",
                "leave luminosity_uncertainty out",
            )


def read_limit_config(path: Path | None) -> LimitConfig:
    """Read a configuration from TOML; the paths in it are relative to the file.

    Raises:
        FileFormatError: If the file is missing or is not TOML.
        UnknownNameError: If a key is unknown; the nearest are offered.
        ConfigError: If a value is missing or of another type.
    """
    if path is None:
        return LimitConfig()
    config = from_table(LimitConfig, read_toml(path), str(path))
    processes = {
        name: dataclasses.replace(process, model=path.parent / process.model)
        for name, process in config.processes.items()
    }
    return dataclasses.replace(config, processes=processes)


def build_experiment(
    model: Model, prior: Prior, config: LimitConfig
) -> tuple[CountingExperiment, EventSource]:
    """Return the experiment that a configuration describes, and the source of its events.

    Arguments:
        model: The model, of the signal if there are several processes.
        prior: Prior of its parameters; its support is their range.
        config: What limits are computed of.

    Raises:
        ConfigError: If the configuration says nothing of the number of events, or gives
            parameters no role.
        UnknownNameError: If a parameter is not one of the model.
        InputError: If a luminosity is not positive, or has no cross-section to go with.
        ModelMismatchError: If the processes do not share a chart.
    """
    config.check()
    names = model.metadata.events.parameter_names
    if not names:
        raise ModelMismatchError(
            "a model with parameters", "one without", "train on events with theta"
        )
    factors = _factors(config, names)
    likelihood, rate, source = _parts(model, config, factors)
    low, high = (np.concatenate(pair) for pair in zip(domain_of(prior), factors.ends, strict=True))
    measured = tuple(
        Constraint(_index(name, names), row.measured, row.width)
        for name, row in config.nuisances.items()
    )
    experiment = CountingExperiment(
        names=(*names, *factors.names),
        low=low,
        high=high,
        likelihood=likelihood,
        rate=rate,
        constraints=(*measured, *factors.constraints),
        interest=tuple(_index(name, names) for name in config.interest),
        factors=len(factors.names),
        beyond_shape=factors.names.count(LUMINOSITY),
    )
    return experiment, source


def _factors(config: LimitConfig, names: Sequence[str]) -> Normalisations:
    """Return the normalisations that are not known exactly.

    Raises:
        ConfigError: If one has the name of a parameter.
    """
    widths = {f"{name} rate": process.uncertainty for name, process in config.processes.items()}
    factors = Normalisations(len(names), widths | {LUMINOSITY: config.luminosity_uncertainty})
    for name in factors.names:
        if name in names:
            raise ConfigError(
                f"a model without a parameter {name!r}, which is that of a rate",
                "one",
                "leave its uncertainty out, and constrain the parameter under [nuisances]",
            )
    return factors


def simulator_of(model: Model, given: str | None = None) -> Simulator | None:
    """Return the simulator of a model's events, which the user may name; None if imported.

    Raises:
        InputError: If the model names code that the user does not name.
    """
    events = model.metadata.events
    if events.simulator is None:
        return None
    return get_recorded_simulator(events.simulator, events.settings, given)


def _parts(
    model: Model, config: LimitConfig, factors: Normalisations
) -> tuple[LikelihoodFactory, Rate | None, EventSource]:
    """Return likelihood of the shape, rate and source, of one process or of several."""
    names = model.metadata.events.parameter_names
    if not config.processes:
        likelihood = of_model_parameters(len(names), _flow_likelihood(model.flow))
        source = from_model_parameters(len(names), surrogate_events(model.flow))
        if config.shape_only:
            return likelihood, None, source
        signal = _process("the signal", model, config, config.luminosity, names)
        return likelihood, factors.scale(signal.rate, LUMINOSITY), source
    processes = [_process("the signal", model, config, config.luminosity, names)]
    for name, process in config.processes.items():
        other = load_model(process.model, next(model.flow.parameters()).device)
        row = _process(name, other, process, config.luminosity, names)
        processes.append(dataclasses.replace(row, rate=factors.scale(row.rate, f"{name} rate")))
    require_one_chart(processes)
    total = None if config.shape_only else factors.scale(total_rate(processes), LUMINOSITY)

    precise = [dataclasses.replace(row, flow=copy.deepcopy(row.flow).double()) for row in processes]

    def mixture(x: torch.Tensor) -> ProcessLikelihood:
        return ProcessLikelihood(precise if x.ndim == 2 else processes, x)

    return mixture, total, mixture_events(processes)


def _flow_likelihood(flow: Flow) -> LikelihoodFactory:
    """Return what makes likelihoods of events under a flow.

    The likelihood of one set of events is in double precision where the device has it:
    Minuit takes differences of it. That of many sets, as for tables of toys, is in the
    precision of the flow.
    """
    single = next(flow.parameters())
    precise = flow if single.device.type == "mps" else copy.deepcopy(flow).double()
    double = next(precise.parameters())

    def likelihood(x: torch.Tensor) -> LogPosterior:
        if x.ndim == 2:
            return likelihood_of(precise, x.to(double))
        return likelihood_of(flow, x.to(single))

    return likelihood


def _process(
    name: str,
    model: Model,
    config: LimitConfig | ProcessConfig,
    luminosity: float | None,
    names: Sequence[str],
) -> Process:
    """Return a process; without a luminosity, its share among the others is all that counts."""
    columns = tuple(_index(known, names) for known in model.metadata.events.parameter_names)
    rate = _rate(model, config, 1.0 if luminosity is None else luminosity)
    return Process(name, model.flow, lambda theta: rate(theta[..., list(columns)]), columns)


def _rate(
    model: Model, config: LimitConfig | ProcessConfig, luminosity: float | None
) -> ExpectedEvents:
    """Return the expected number of events of a model's process."""
    scale = {"luminosity": float(luminosity or 0.0), "efficiency": config.efficiency}
    if config.cross_section:
        parameters = model.metadata.events.parameters
        cross_section = polynomial_cross_section(config.cross_section, len(parameters))
        _check_positive(cross_section, parameters)
        return ExpectedEvents(cross_section, **scale)
    simulator = simulator_of(model, config.simulator)
    return rate_of(simulator if simulator is not None else "imported events", **scale)


def _check_positive(
    cross_section: Callable[[Array], Array], parameters: Sequence[Parameter]
) -> None:
    """Fail if a cross-section is negative somewhere within bounds of the parameters."""
    low, high = (np.array([getattr(p, end) for p in parameters]) for end in ("low", "high"))
    if not np.isfinite([low, high]).all():
        return
    points = np.random.default_rng(0).uniform(low, high, (_POINTS, len(low)))
    values = cross_section(points)
    if (values < 0.0).any():
        where = ", ".join(f"{value:.3g}" for value in points[values.argmin()])
        raise ConfigError(
            "a cross-section >= 0 at all parameters",
            f"{values.min():.3g} pb at ({where})",
            "correct its components",
        )


def _index(name: str, names: Sequence[str]) -> int:
    """Return the column of a parameter."""
    if name not in names:
        raise UnknownNameError("parameter of the model", name, names)
    return list(names).index(name)
