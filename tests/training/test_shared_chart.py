"""A further process on the chart of a model that exists."""

import dataclasses

import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow
from lfi_mflow.simulation import Observable, Parameter
from lfi_mflow.training import Phase, RunConfig, density_only
from lfi_mflow.training.objectives import trained_part
from lfi_mflow.training.phases import density
from lfi_mflow.training.shared_chart import check_shared, take_chart

SETTINGS = {
    "chart": {"layers": 1, "bins": 4, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 1, "bins": 4, "hidden": 8},
}
EVENTS = EventMetadata(
    parameters=(Parameter("theta", -1.0, 1.0),),
    observables=tuple(Observable(f"x{i}") for i in range(3)),
)


def make_flow(seed, p=1, **settings):
    torch.manual_seed(seed)
    return build_flow("m-flow", Dimensions(3, 2, p), {**SETTINGS, **settings})


@pytest.fixture
def model():
    flow = make_flow(1)
    flow.standardisation.mean.fill_(0.5)
    metadata = ModelMetadata("m-flow", Dimensions(3, 2, 1), SETTINGS, EVENTS, "ab12", 100)
    return Model(flow, metadata)


def test_only_density_phases_remain(model):
    config = density_only(model, RunConfig(model="af", latent_dim=1, seed=4))
    assert (config.model, config.latent_dim, config.seed) == ("m-flow", 2, 4)
    assert config.settings == SETTINGS
    assert [phase.minimises.part for phase in config.schedule] == ["latent"]
    assert density_only(model, config) == config


def test_phases_and_latent_settings_of_the_configuration_are_kept(model):
    phases = (Phase("a", "reconstruction", 2), Phase("b", "latent-likelihood", 3))
    latent = {"transforms": 3}
    config = density_only(model, RunConfig(phases=phases, settings={"latent": latent}))
    assert config.schedule == phases[1:]
    assert config.settings == {"chart": SETTINGS["chart"], "latent": latent}
    with pytest.raises(ConfigError, match="a phase that trains the density"):
        density_only(model, RunConfig(phases=phases[:1]))


def test_the_precision_is_that_of_the_model(model):
    model.flow.double()
    config = density_only(model, RunConfig())
    assert config.precision == "double"
    flow = take_chart(make_flow(2), model, density())
    assert next(flow.latent.parameters()).dtype == torch.float64


def test_chart_and_standardisation_are_taken_to_the_bit(model):
    flow = take_chart(make_flow(2, p=0), model, density())
    for name in ("chart", "standardisation"):
        taken, given = (getattr(f, name).state_dict() for f in (flow, model.flow))
        assert all(torch.equal(taken[key], given[key]) for key in given)
    assert flow.theta_dim == 0
    assert flow.chart.prescribed
    assert not model.flow.chart.prescribed
    assert trained_part(flow, "latent") is flow.latent


RATIO = Phase("ratio", "noise-contrast", 2)


def test_a_model_with_a_ratio_takes_the_chart_of_one_without(model):
    density_phase = Phase("latent", "latent-likelihood", 3)
    given = {"chart": {"layers": 5}, "ratio": {"hidden": 8, "blocks": 1}}
    config = RunConfig(model="mr-flow", settings=given, phases=(density_phase, RATIO))
    config = density_only(model, config)
    assert (config.model, config.schedule) == ("mr-flow", (density_phase, RATIO))
    assert config.settings == {"chart": SETTINGS["chart"], "ratio": given["ratio"]}
    default = density_only(model, RunConfig(model="mr-flow"))
    assert [phase.minimises.part for phase in default.schedule] == ["latent", "ratio"]
    flow = build_flow("mr-flow", Dimensions(3, 2, 1), config.settings)
    flow = take_chart(flow, model, config.schedule)
    assert torch.equal(flow.standardisation.mean, model.flow.standardisation.mean)


def test_a_ratio_alone_takes_the_density_too(model):
    torch.manual_seed(4)
    lender = build_flow("mr-flow", Dimensions(3, 2, 1), SETTINGS)
    metadata = dataclasses.replace(model.metadata, preset="mr-flow")
    settings = {"latent": {"hidden": 64}, "ratio": {"hidden": 8, "blocks": 1}}
    config = RunConfig(model="mr-flow", settings=settings, phases=(RATIO,))
    config = density_only(Model(lender, metadata), config)
    assert config.settings == {**SETTINGS, "ratio": settings["ratio"]}
    torch.manual_seed(5)
    flow = build_flow("mr-flow", Dimensions(3, 2, 1), config.settings)
    flow = take_chart(flow, Model(lender, metadata), config.schedule)
    taken, given = (f.latent.state_dict() for f in (flow, lender))
    assert all(torch.equal(taken[key], given[key]) for key in given)
    with pytest.raises(ConfigError, match=r"a model whose density is trained.*the preset m-flow"):
        density_only(model, RunConfig(model="mr-flow", phases=(RATIO,)))


def test_other_observables_and_conditional_charts_are_refused(model):
    other = dataclasses.replace(EVENTS, observables=EVENTS.observables[::-1])
    check_shared(model, EVENTS, "e.h5")
    with pytest.raises(ModelMismatchError, match=r"the observables x0, .* found x2, x1, x0"):
        check_shared(model, other, "e.h5")
    flow = make_flow(3, conditional_chart=True)
    with pytest.raises(ConfigError, match="a conditional one"):
        density_only(dataclasses.replace(model, flow=flow), RunConfig())
