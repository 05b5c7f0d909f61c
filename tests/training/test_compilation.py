"""Compiled losses: the same training up to rounding, and a clear word where they cannot be."""

import dataclasses
import shutil
import subprocess
import sys

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import PRESETS, Dimensions, build_flow
from lfi_mflow.training import OBJECTIVES, Phase, ResidentEvents, RunConfig, fit

MODELS = {
    "elbo": "vae",
    "vector-quantisation": "vq-flow",
    "membership": "vq-flow",
    "nre-a": "nre-a",
    "nre-c": "nre-c",
    "bnre": "bnre",
    "alice": "alice",
    "noise-contrast": "mr-flow",
}
"""What is trained with objectives that an M-flow cannot have."""


@pytest.fixture
def compile_calls(monkeypatch):
    """The losses that are compiled, which here takes no compiler."""
    calls = []

    def noted(loss):
        calls.append(loss)
        return torch_compile(loss, backend="aot_eager")

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", noted)
    return calls


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_a_compiled_training_is_the_same_up_to_rounding(make_resident, phases):
    states = []
    for compiles in (False, True):
        torch.manual_seed(0)
        settings = {"latent": {"transforms": 1, "bins": 4, "hidden": 8}}  # little to compile
        flow = build_flow("m-flow", Dimensions(2, 1, 1), settings).double()
        phase = dataclasses.replace(phases[1], compiles=compiles)
        fit(flow, [phase], make_resident(400), seed=0)
        states.append(flow.state_dict())
    for name, values in states[0].items():
        torch.testing.assert_close(states[1][name], values, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if OBJECTIVES[name].compiles])
def test_every_objective_that_compiles_is_the_same(make_events, compile_calls, objective):
    preset = PRESETS[MODELS.get(objective, "m-flow")]
    x, theta = (torch.from_numpy(getattr(make_events(300), name)) for name in ("x", "theta"))
    gold = {"log_ratio": theta[:, 0].sin()}
    losses = []
    for compiles in (False, True):
        torch.manual_seed(0)
        flow = build_flow(preset.name, Dimensions(2, 2 if preset.ambient else 1, 1), {}).double()
        events = ResidentEvents(x, theta, **gold, validation_fraction=0.1, seed=1)
        phase = Phase("one", objective, epochs=2, batch_size=100, compiles=compiles)
        (record,) = fit(flow, [phase], events, seed=0).phases
        losses.append([epoch.train for epoch in record.epochs])
    assert compile_calls
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_what_goes_through_derivatives_cannot_be():
    with pytest.raises(ConfigError, match=r"phase 'all', found likelihood; leave compiles out"):
        Phase("all", "likelihood", 1, compiles=True)
    config = RunConfig(algorithm="scandal").with_compiled_losses()
    assert [phase.compiles for phase in config.schedule] == [True, False]


@pytest.fixture
def training(make_flow, make_resident):
    """A function that trains with a compiled loss."""
    phase = Phase("latent", "latent-likelihood", 1, compiles=True)
    return lambda: fit(make_flow(), [phase], make_resident(100), seed=0)


def test_without_a_compiler(training, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"a C\+\+ compiler.*found none; install"):
        training()


def test_a_compiler_that_fails(training, monkeypatch):
    def failing(loss):
        def fail(batch):
            raise TorchDynamoException("\nPython.h: no such file\nand much more")

        return fail

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(ConfigError, match=r"found Python\.h: no such file; install"):
        training()


def test_who_compiles_nothing_does_not_load_the_compiler():
    code = "import sys, lfi_mflow.training; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
