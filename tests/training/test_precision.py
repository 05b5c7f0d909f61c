"""Products that a GPU may round, while it trains."""

import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.training import RunConfig, resolve_device, train_model
from lfi_mflow.training.precision import rounded_products

CUDA = torch.device("cuda")


def _allowed():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "inside"),
    [("tf32", ("high", True)), ("single", ("highest", False)), ("double", ("highest", False))],
)
def test_they_are_rounded_only_while_it_is_asked_for(precision, inside):
    before, seen = _allowed(), []

    @rounded_products(precision, CUDA)
    def train():
        seen.append(_allowed())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert seen == [inside]
    assert _allowed() == before


def test_convolutions_are_not_rounded_on_the_device_of_a_command(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    resolve_device("auto")
    assert torch.backends.cudnn.allow_tf32 is False


def test_what_rounds_no_products_is_refused(path):
    with pytest.raises(ConfigError, match="an NVIDIA GPU for precision = 'tf32', found the device"):
        train_model(path, RunConfig(precision="tf32"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_with_them(path, phases):
    losses = {}
    for precision in ("single", "tf32"):
        config = RunConfig(phases=phases, precision=precision)
        history = train_model(path, config, device=CUDA).metadata.history
        losses[precision] = [phase["epochs"][-1]["validation"] for phase in history["phases"]]
    assert losses["tf32"] != losses["single"]
    assert losses["tf32"] == pytest.approx(losses["single"], rel=0.2, abs=0.05)
