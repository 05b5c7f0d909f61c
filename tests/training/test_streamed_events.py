"""Events that are streamed from their file; what they share with others is in test_events.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventFile, EventMetadata, shuffle, write_events
from lfi_mflow.simulation import Events, Observable, Parameter
from lfi_mflow.training import Ranks, StreamedEvents
from lfi_mflow.training.streamed_events import _PreparedStream

DOUBLE = {"dtype": torch.float64, "device": torch.device("cpu"), "validation_fraction": 0.25}


def _latents(x, theta):
    return x[:, :1] + theta


def _same(x, theta):
    return x


@pytest.fixture
def stream(path):
    with EventFile(path) as file:
        yield StreamedEvents(file, **DOUBLE)


@pytest.fixture
def small_chunks(monkeypatch):
    """Little is mixed at a time: many chunks in an epoch."""
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 16)
    monkeypatch.setattr(shuffle, "_BUFFER_BYTES", 2048)


def test_latents_are_computed_once(stream):
    calls = []

    def latents(x, theta):
        calls.append(len(x))
        return _latents(x, theta)

    prepared = stream.prepare(latents)
    before = sum(calls)
    again = _PreparedStream(stream, _latents, Ranks())
    for seed in range(3):
        for kept, computed in zip(
            prepared.training(50, seed), again.training(50, seed), strict=True
        ):
            assert torch.equal(kept.prepared, computed.prepared)
            assert torch.equal(kept.theta, computed.theta)
    for kept, computed in zip(prepared.validation(30), again.validation(30), strict=True):
        assert torch.equal(kept.prepared, computed.prepared)
    assert torch.equal(prepared.some().prepared, again.some().prepared)
    assert sum(calls) == before == 400 + 300  # all, after a first look


def test_what_is_not_smaller_than_the_events_is_computed_anew(stream):
    calls = []
    prepared = stream.prepare(lambda x, theta: calls.append(len(x)) or 2 * x)
    before = len(calls)
    list(prepared.training(50, 0))
    assert len(calls) > before


def test_weights_are_scaled_once(write, make_events):
    weight = make_events(400).x[:, 0] ** 2
    with EventFile(write(make_events(400, weight=weight))) as file:
        prepared = StreamedEvents(file, **DOUBLE).prepare(lambda x, theta: x[:, :1])
        for batch in [*prepared.training(50, 0), *prepared.validation(64)]:
            torch.testing.assert_close(batch.weight, batch.prepared[:, 0] ** 2 / weight.mean())


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [2, 3])
def test_shares_make_up_the_batches(stream, size):
    whole = _PreparedStream(stream, _same, Ranks())
    parts = [_PreparedStream(stream, _same, Ranks(rank, size)) for rank in range(size)]
    batches = list(whole.training(50, 7))
    assert len(batches) == whole.steps(50) == 6
    shares = [list(part.training(50, 7)) for part in parts]
    for step, batch in enumerate(batches):
        own = [share[step] for share in shares]
        assert torch.equal(torch.cat([batch.prepared for batch in own]), batch.prepared)
        mean = sum(batch.prepared.mean(dim=0) * batch.scale for batch in own) / size
        torch.testing.assert_close(mean, batch.prepared.mean(dim=0))
    validated = [batch.prepared for part in parts for batch in part.validation(16)]
    expected = [batch.prepared for batch in whole.validation(16)]
    assert torch.equal(torch.cat(validated).sort(dim=0)[0], torch.cat(expected).sort(dim=0)[0])


@pytest.mark.usefixtures("small_chunks")
def test_an_epoch_that_is_left_early_leaves_no_thread(stream):
    batches = stream.prepare(_same).training(50, 0)
    next(batches)
    batches.close()
    assert [len(batch.theta) for batch in stream.prepare(_same).training(50, 0)] == [50] * 6


MEMORY = """
import json, re, sys, torch
from pathlib import Path
from lfi_mflow.data import EventFile, shuffle
from lfi_mflow.training import StreamedEvents, streamed_events

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

shuffle._BUFFER_BYTES = 2**22
streamed_events._BLOCK = 2**13
torch.set_num_threads(1)
before = peak()
with EventFile(sys.argv[1]) as file:
    cpu = torch.device("cpu")
    events = StreamedEvents(file, dtype=torch.float32, device=cpu, validation_fraction=0.1)
    events.moments()
    for function in (lambda x, theta: x, lambda x, theta: x[:, :10]):
        for batch in events.prepare(function).training(500, 0):
            pass
print(json.dumps(peak() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Events of 640 MB, a quarter of it in memory; they repeat, which keeps the file small."""
    n, d = 1_600_000, 50
    about = EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0),),
        observables=tuple(Observable(f"x{i}") for i in range(d)),
        manifold_dim=10,
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, d)).round(1).repeat(1000, axis=0)
    block = Events(rng.uniform(-1, 1, (100_000, 1)), x)
    write_events(tmp_path / "e.h5", about, (block for _ in range(n // 100_000)), force=True)
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "e.h5")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) < n * d * 8 / 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_batches_of_the_cpu(path):
    cuda = {**DOUBLE, "device": torch.device("cuda")}
    with EventFile(path) as file:
        for function in (_same, _latents):
            on_cpu, on_gpu = (
                list(StreamedEvents(file, **where).prepare(function).training(50, 0))
                for where in (DOUBLE, cuda)
            )
            for expected, found in zip(on_cpu, on_gpu, strict=True):
                assert found.prepared.device.type == "cuda"
                torch.testing.assert_close(found.prepared.cpu(), expected.prepared)
