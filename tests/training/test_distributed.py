"""Several processes train one flow: the same steps as one process, by the same loop."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lfi_mflow.errors import ConfigError, LostProcessError
from lfi_mflow.training import Ranks, distributed, joined, own_device

SCRIPT = Path(__file__).with_name("together.py")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def together():
    """The module with the trainings."""
    spec = importlib.util.spec_from_file_location("together", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """What two processes got."""
    path = tmp_path_factory.mktemp("together") / "results.pt"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(SCRIPT), str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    return torch.load(path, weights_only=True)


def test_two_processes_give_the_result_of_one(by_two, together):
    for kind in together.EXACT:
        state, losses = together.train(*kind)
        shared_state, shared_losses = by_two["/".join(kind)]
        torch.testing.assert_close(shared_losses, losses, rtol=1e-9, atol=1e-12, msg=str(kind))
        for name, value in state.items():
            torch.testing.assert_close(shared_state[name], value, rtol=1e-6, atol=1e-9)


def test_the_training_changed_the_weights(together):
    """Otherwise the comparison would show nothing."""
    trained, other = (together.train("m-flow", "sequential", seed=seed)[1] for seed in (0, 1))
    assert not torch.allclose(trained, other, rtol=1e-3)


def test_objectives_that_draw_are_trained_by_two(by_two, together):
    """The processes draw different numbers: the losses are near, not equal."""
    for kind in together.DRAWN:
        losses, shared = together.train(*kind)[1], by_two["/".join(kind)][1]
        assert shared.isfinite().all()
        torch.testing.assert_close(shared, losses, rtol=0.3, atol=0.3, msg=str(kind))


@pytest.mark.parametrize(("count", "size"), [(10, 3), (2, 4), (12, 4), (5, 1)])
def test_shares_are_equal_and_make_up_the_whole(count, size):
    values = torch.arange(count, dtype=torch.float64).square()
    shares = [values[Ranks(rank, size).share(count)] for rank in range(size)]
    assert torch.equal(torch.cat(shares), values)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    scaled = [
        share.mean() * Ranks(rank, size).scale(count)
        for rank, share in enumerate(shares)
        if len(share)
    ]
    assert sum(scaled) / size == pytest.approx(values.mean())


def test_a_process_alone_is_all_there_is():
    alone = Ranks.current()
    assert alone == Ranks(0, 1)
    assert alone.leads
    assert not Ranks(1, 2).leads
    assert alone.merged({"loss": 1.5}) == {"loss": 1.5}
    assert alone.total(torch.ones(2)).tolist() == [1.0, 1.0]
    alone.check_same("anything", {"a": 1})
    alone.wait()
    loss = torch.sum
    assert alone.averaged(nn.Linear(1, 1), loss) is loss
    with joined(CPU) as ranks:
        assert ranks == alone
        assert not torch.distributed.is_initialized()


@pytest.fixture
def launched(monkeypatch):
    """What torchrun tells a process."""
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")


@pytest.mark.usefixtures("launched")
def test_every_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    assert own_device(CPU) == CPU
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert own_device(torch.device("cuda", 0)) == torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"found 1 for process 2 .* --nproc-per-node 1"):
        own_device(torch.device("cuda"))


def test_without_torchrun_a_device_is_what_it_was():
    assert own_device(torch.device("cuda")) == torch.device("cuda")


@pytest.mark.usefixtures("launched")
def test_several_processes_work_on_cpu_or_cuda_only():
    with pytest.raises(ConfigError, match=r"cpu, cuda\), found mps"), joined(torch.device("mps")):
        pass


def test_the_signal_that_follows_a_loss_does_not_hide_it():
    """torchrun sends SIGTERM while this process is about to say what happened."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LostProcessError, match="another one was lost"), distributed._explained():
        raise RuntimeError("[gloo] Connection closed by peer")
    signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(LostProcessError, match="asked this one to stop"), distributed._explained():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
