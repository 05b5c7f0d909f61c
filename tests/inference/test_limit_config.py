import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.errors import (
    ConfigError,
    InputError,
    ModelMismatchError,
    UnknownNameError,
)
from lfi_mflow.flows import save_model
from lfi_mflow.inference.experiment import DataSet
from lfi_mflow.inference.likelihood import EventSetLikelihood
from lfi_mflow.inference.limit_config import (
    AuxiliaryMeasurement,
    LimitConfig,
    ProcessConfig,
    build_experiment,
    read_limit_config,
)
from lfi_mflow.simulation import Prior, Uniform

PRIOR = Prior((Uniform(-1.0, 1.0), Uniform(-1.0, 1.0)))
COMPONENTS = (3.0, 1.0, 0.0, 0.5, 0.0, 0.2)


@pytest.fixture
def model(make_model):
    return make_model(p=2)


def test_a_file_with_everything(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(
        "luminosity = 36\ninterest = ['theta']\ncross_section = [1.0]\n"
        "[nuisances.rho]\nmeasured = 0.0\nwidth = 0.1\n"
        "[processes.background]\nmodel = 'b.mflow'\ncross_section = [2.0]\n"
    )
    config = read_limit_config(path)
    assert config.luminosity == 36.0
    assert config.nuisances == {"rho": AuxiliaryMeasurement(0.0, 0.1)}
    assert config.processes["background"].model == tmp_path / "b.mflow"
    path.write_text("luminosty = 36\n")
    with pytest.raises(UnknownNameError, match="luminosity"):
        read_limit_config(path)
    assert read_limit_config(None) == LimitConfig()


def test_the_number_of_events_must_be_said_to_count_or_not(model):
    with pytest.raises(ConfigError, match="a luminosity, or shape only, found neither"):
        build_experiment(model, PRIOR, LimitConfig())
    with pytest.raises(ConfigError, match="a luminosity, or shape only, found both"):
        build_experiment(model, PRIOR, LimitConfig(luminosity=1.0, shape_only=True))
    with pytest.raises(InputError, match=r"a cross-section .* found none of imported events"):
        build_experiment(model, PRIOR, LimitConfig(luminosity=1.0))
    negative = LimitConfig(luminosity=-1.0, cross_section=(1.0,))
    with pytest.raises(InputError, match="a positive luminosity, found -1"):
        build_experiment(model, PRIOR, negative)


def test_one_process(model):
    config = LimitConfig(luminosity=10.0, efficiency=0.5, cross_section=COMPONENTS)
    experiment, source = build_experiment(model, PRIOR, config)
    assert experiment.interest == (0, 1)
    assert experiment.expected([1.0, 1.0]) == pytest.approx(5.0 * 4.7)
    x, _ = source(np.zeros((12, 2)), 1)
    theta = torch.rand(4, 2, dtype=torch.float64)
    found = experiment.likelihood(torch.as_tensor(x))(theta)
    exact = EventSetLikelihood(model.flow, torch.as_tensor(x).float())(theta)
    torch.testing.assert_close(found, exact, atol=1e-3, rtol=1e-4)
    assert next(model.flow.parameters()).dtype == torch.float32


@pytest.mark.parametrize("components", [(-2.0,), (1.0, 5.0, 0.0, 0.0, 0.0, 0.0)])
def test_a_negative_cross_section_is_refused(model, components):
    config = LimitConfig(luminosity=10.0, cross_section=components)
    with pytest.raises(ConfigError, match=r">= 0 at all parameters, found -\S+ pb at \(-?[\d.]+, "):
        build_experiment(model, PRIOR, config)


def test_a_nuisance_parameter_of_the_model(model):
    config = LimitConfig(shape_only=True, nuisances={"rho": AuxiliaryMeasurement(0.1, 0.2)})
    experiment, _ = build_experiment(model, PRIOR, config)
    assert (experiment.interest, experiment.nuisances) == ((0,), (1,))
    unknown = dataclasses.replace(config, nuisances={"roh": AuxiliaryMeasurement(0.1, 0.2)})
    with pytest.raises(UnknownNameError, match="did you mean 'rho'"):
        build_experiment(model, PRIOR, unknown)


def test_several_processes(model, make_model, tmp_path):
    save_model(model, tmp_path / "b.mflow")
    background = ProcessConfig(tmp_path / "b.mflow", (2.0,), 0.5)
    config = LimitConfig(
        luminosity=10.0, cross_section=COMPONENTS, processes={"background": background}
    )
    experiment, source = build_experiment(model, PRIOR, config)
    assert experiment.expected([0.0, 0.0]) == pytest.approx(10.0 * (3.0 + 1.0))
    x, _ = source(np.zeros((12, 2)), 1)
    density = experiment.log_likelihood(DataSet(x))(torch.zeros(1, 2, dtype=torch.float64))
    # Twice the same density: the mixture is the density.
    exact = EventSetLikelihood(model.flow, torch.as_tensor(x).float())(torch.zeros(1, 2))
    poisson = 12 * np.log(40.0) - 40.0
    assert density.item() == pytest.approx(exact.item() + poisson, abs=1e-3)
    shape, _ = build_experiment(
        model, PRIOR, dataclasses.replace(config, luminosity=None, shape_only=True)
    )
    assert shape.rate is None
    with torch.no_grad():
        next(iter(model.flow.chart.parameters())).add_(1.0)
    with pytest.raises(ModelMismatchError, match="background on the chart of the signal"):
        build_experiment(model, PRIOR, config)
