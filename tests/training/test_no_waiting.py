"""No step waits for the one before: nothing asks the device for a value.

Where the device is a GPU, a question for a value stops the program until all that was
asked before is computed. The CPU knows no such stop, but the operators that would cause it
are the same: this test fails where a step calls one.
"""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lfi_mflow.training import ALGORITHMS, fit
from lfi_mflow.training.phase_run import PhaseRun

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}


class Watch(TorchDispatchMode):
    """Notes the operators that wait for the device."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        rows = args[1] if name == "aten::index" and len(args) > 1 else ()
        masks = any(row is not None and row.dtype in (torch.bool, torch.uint8) for row in rows)
        if name in WAITS or masks:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def watched(monkeypatch):
    """Watch all steps but the first of each phase, which builds what the others use."""
    watch, seen = Watch(), set()
    step = PhaseRun._step

    def watched_step(self, batch):
        if self not in seen:
            seen.add(self)
            return step(self, batch)
        with watch:
            return step(self, batch)

    monkeypatch.setattr(PhaseRun, "_step", watched_step)
    return watch


@pytest.mark.parametrize("algorithm", ["sequential", "penalised", "alternating"])
def test_a_step_asks_for_no_value(make_flow, make_resident, watched, algorithm):
    phases = [
        dataclasses.replace(phase, epochs=1, batch_size=72) for phase in ALGORITHMS[algorithm]()
    ]
    fit(make_flow(), phases[:2], make_resident(400), seed=0)
    assert watched.found == set()


def test_the_watch_sees_what_waits():
    x = torch.arange(3.0)
    with Watch() as watch:
        x.sum().item()
        x[x > 1.0]
    assert watch.found >= {"aten::_local_scalar_dense", "aten::index"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("algorithm", ["sequential", "penalised"])
def test_a_gpu_is_never_waited_for(make_flow, make_resident, monkeypatch, algorithm):
    """PyTorch itself raises an error at a step that waits."""
    step = PhaseRun._step

    def strict(self, batch):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(self, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(PhaseRun, "_step", strict)
    phases = [
        dataclasses.replace(phase, epochs=1, batch_size=72) for phase in ALGORITHMS[algorithm]()
    ]
    cuda = torch.device("cuda")
    fit(make_flow().to(cuda), phases, make_resident(400, device=cuda), seed=0)
